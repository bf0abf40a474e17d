"""A file on this machine: it is read and written where it lies.

The pipeline's readers watch for changes and its writers make a file appear whole,
so there is nothing to copy.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from jobu_core.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file under a data root."""

    path: Path
    name: str

    @property
    def here(self) -> Path:
        """The file itself."""
        return self.path

    def exists(self) -> bool:
        """Whether there is a file."""
        return self.path.is_file()

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Path]:  # noqa: ARG002 - it is here
        """Lend the file itself."""
        if not self.path.is_file():
            missing = "is not a regular file" if self.path.exists() else "no such file"
            raise FileError(f"{self.name}: {missing}")
        yield self.path

    @contextmanager
    def draft(self, folder: Path) -> Iterator[Path]:  # noqa: ARG002 - it is here
        """Lend its own path."""
        yield self.path

    def publish(self, draft: Path) -> None:
        """Insist that the writer made it appear here."""
        if draft != self.path or not draft.is_file():
            raise FileError(f"{self.name}: was not written")

    def beside(self, name: str) -> LocalFile:
        """Return the file of that name in the same folder."""
        return LocalFile(self.path.with_name(name), str(PurePosixPath(self.name).with_name(name)))
