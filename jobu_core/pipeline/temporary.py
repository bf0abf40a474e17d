"""The file that an output is written to before it takes its name.

It lies beside the output, so that taking the name is one rename. A process that is
killed leaves it there; the next one that writes the same output finds nobody's lock
on it and removes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME_LETTERS: Final = 16


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield the path of a file of this process's own beside ``path``; gone after the block.

    Where the file system has no locks, files of killed processes stay.
    """
    # Of the name only a hash: with more added it might be longer than a name may be.
    mark = hashlib.sha256(path.name.encode()).hexdigest()[:_NAME_LETTERS]
    for left in path.parent.glob(f".jobu-{mark}-*.tmp"):
        _remove_if_nobodys(left)
    own = path.parent / f".jobu-{mark}-{uuid4().hex}.tmp"
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield own
    finally:
        own.unlink(missing_ok=True)
        os.close(descriptor)


def _remove_if_nobodys(left: Path) -> None:
    try:
        descriptor = os.open(left, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:  # its owner was faster, or it is another user's
        return
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
