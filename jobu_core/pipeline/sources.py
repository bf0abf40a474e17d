"""The user's files that make one input: their names, their hashes, their rows.

Rows of several files are numbered through, so that one number is one row in every
later stage; ``RowPlaces`` tells which row of which file it is.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to read, and what messages call it."""

    path: Path
    name: str
    """Its logical path."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was read to its end."""

    name: str
    sha256: str
    """Of its bytes on disk."""
    rows: int
    """Data rows, rejected ones included."""


@dataclass(frozen=True, slots=True)
class Input:
    """What a run reads: a file, or several one after another."""

    name: str
    """The file's logical path, or the pattern that several have."""
    files: tuple[InputFile, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where they lie."""
        return tuple(each.path for each in self.files)

    @property
    def names(self) -> tuple[str, ...]:
        """What the user calls them."""
        return tuple(each.name for each in self.files)


class RowPlaces:
    """Number of a row in the whole input → file, and number in that file."""

    def __init__(self, files: Iterable[SourceFile] = ()) -> None:
        """Take files that were read; ``begin`` adds those that are being read."""
        self._names: list[str] = []
        self._before: list[int] = []
        rows = 0
        for each in files:
            self.begin(each.name, rows)
            rows += each.rows

    def begin(self, name: str, rows_before: int) -> None:
        """Say that the rows after the first ``rows_before`` are those of file ``name``."""
        self._names.append(name)
        self._before.append(rows_before)

    @property
    def several(self) -> bool:
        """Whether a number alone does not tell the file."""
        return len(self._names) > 1

    def of(self, number: int) -> tuple[str, int]:
        """Return the file of a row and its number there; 1 is the first after the header."""
        at = max(bisect_right(self._before, number - 1) - 1, 0)
        return self._names[at], number - self._before[at]

    def number(self, name: str, number: int) -> int:
        """Return the number in the whole input of a file's row; ValueError for another file."""
        return self._before[self._names.index(name)] + number


def sha256_of_files(hashes: Iterable[str]) -> str:
    """Return the hash of an input: a file's own, or that of all hashes, one a line.

    For several files it is what ``sha256sum FILES | cut -c 1-64 | sha256sum`` prints.
    """
    found = list(hashes)
    if len(found) == 1:
        return found[0]
    return hashlib.sha256("".join(f"{each}\n" for each in found).encode()).hexdigest()
