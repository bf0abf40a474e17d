"""Files that executions left behind: work folders, corrected rejects, half-written outputs.

Only names that jobu gives itself are looked at, only below the work folder and the
data roots, and no symbolic link is followed. A file that cannot be removed is
named in the log, and the rest goes on.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog

from jobu_core.crash_points import reach
from jobu_core.execution.reload import FOLDER
from jobu_core.store import retention
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import timedelta
    from pathlib import Path

    import sqlalchemy as sa

_EXECUTION: Final = re.compile(r"[1-9][0-9]{0,18}")
_SET_ASIDE: Final = ".pruned-"
"""Begins the name of a work folder on its way out: no execution looks for it there."""
_TEMPORARY: Final = re.compile(r"\.jobu-(?:[0-9a-f]{16}-)?[0-9a-f]{32}\.tmp")
_CORRECTED: Final = re.compile(r"[0-9]+-[0-9a-f]{32}\.reload|\.[0-9a-f]{32}\.new")

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sweep:
    """One look at what lies around; ``now`` is the job store's time."""

    engine: sa.Engine
    now: datetime
    dry_run: bool = False

    def work_folders(self, work: Path, older_than: timedelta) -> int:
        """Remove ``{work}/{execution}`` of executions that ended so long ago; return how many.

        Those of unfinished ones stay, whatever their age; without a row the files'
        own age counts.
        """
        if not work.is_dir():
            return 0
        gone = 0
        for folder in sorted(_folders_in(work)):
            if folder.name.startswith(_SET_ASIDE):  # of a prune that died
                self._remove_folder(folder)
            elif _EXECUTION.fullmatch(folder.name):
                gone += self._work_folder(folder, self.now - older_than)
        return gone

    def beside_data(self, roots: Iterable[Path], older_than: timedelta) -> tuple[int, int]:
        """Remove corrected rejects that no row reads, and half-written outputs, below the roots.

        Both only when they were not written to for so long; returns how many of each.
        """
        with transaction(self.engine) as connection:
            needed = {PurePosixPath(each).name for each in retention.reloaded_files(connection)}
        reloads = temporary = 0
        for root in (each for each in roots if each.is_dir()):
            for folder, _, names, descriptor in os.fwalk(root):
                for name in names:
                    corrected = (
                        PurePosixPath(folder).name == FOLDER
                        and _CORRECTED.fullmatch(name) is not None
                        and name not in needed
                    )
                    if not corrected and not _TEMPORARY.fullmatch(name):
                        continue
                    if self._remove_file(name, descriptor, self.now - older_than):
                        reloads += corrected
                        temporary += not corrected
        return reloads, temporary

    def _work_folder(self, folder: Path, cutoff: datetime) -> bool:
        """Set the folder aside while its rows are locked, then remove it."""
        aside = folder.with_name(f"{_SET_ASIDE}{folder.name}-{uuid4().hex}")
        with transaction(self.engine) as connection:
            ended = retention.work_has_ended(connection, int(folder.name), cutoff)
            if ended is None:
                ended = _newest(folder) < cutoff
            if not ended or self.dry_run:
                return ended
            try:
                folder.rename(aside)
            except OSError as error:
                _not_removed(folder.name, error)
                return False
            reach("prune.folder_set_aside")
        self._remove_folder(aside)
        return True

    def _remove_folder(self, folder: Path) -> None:
        if self.dry_run:
            return
        try:
            shutil.rmtree(folder)
        except OSError as error:
            _not_removed(folder.name, error)

    def _remove_file(self, name: str, folder: int, cutoff: datetime) -> bool:
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) or _instant(found.st_mtime) >= cutoff:
                return False
            if _is_held(name, folder):
                return False
            if not self.dry_run:
                os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return False
        except OSError as error:
            _not_removed(name, error)
            return False
        return True


def _is_held(name: str, folder: int) -> bool:
    """Whether a living process writes the file (``pipeline/temporary.py`` locks what it writes)."""
    descriptor = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: its age decides
        return False
    finally:
        os.close(descriptor)
    return False


def _folders_in(folder: Path) -> Iterator[Path]:
    """Yield the real folders directly below, no links to one."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield folder / entry.name


def _newest(folder: Path) -> datetime:
    """Return when the folder, or one directly below it, was last changed."""
    changed = [each.lstat().st_mtime for each in (folder, *_folders_in(folder))]
    return _instant(max(changed))


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _not_removed(name: str, error: OSError) -> None:
    _log.warning("not removed", file=name, reason=error.strerror)
