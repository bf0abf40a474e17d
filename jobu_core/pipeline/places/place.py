"""What the data path asks of a place where a user's file lies; two kinds of places do it.

Stages read and write local files only. A place lends a local file with what it
holds, and takes a finished local file in: whole, or not at all.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


class Place(Protocol):
    """One file of a user, which need not exist."""

    @property
    def name(self) -> str:
        """What messages call it: a logical path, or ``s3://bucket/key``."""

    @property
    def here(self) -> Path | None:
        """The file itself when it lies on this machine, else None."""

    def exists(self) -> bool:
        """Whether there is a file; raises StorageUnavailable when nobody can tell."""

    def opened(self, folder: Path) -> AbstractContextManager[Path]:
        """Lend a local file with its bytes, in ``folder`` if it lies elsewhere.

        They are of one version of the file, or a reader of the pipeline raises
        FileError. Raises FileError when there is none or it may not be read,
        StorageUnavailable when it cannot be reached.
        """

    def draft(self, folder: Path) -> AbstractContextManager[Path]:
        """Lend a local path to write to; what lies there afterwards is removed.

        It is the place itself where a writer of the pipeline makes files appear
        whole; else it is in ``folder`` until ``publish`` takes it in.
        """

    def publish(self, draft: Path) -> None:
        """Take a finished draft in; who reads meanwhile sees the old file or the new one.

        Raises FileError when it may not be written or is not there as it was
        written, StorageUnavailable when the place cannot be reached.
        """

    def beside(self, name: str) -> Place:
        """Return the place of that name in the same folder."""


def rejects_of(output: Place) -> Place:
    """Return where the rejects of an output lie unless the user says otherwise."""
    stem = PurePosixPath(output.name.rsplit("/", 1)[-1]).stem
    return output.beside(f"{stem}.rejects.parquet")
