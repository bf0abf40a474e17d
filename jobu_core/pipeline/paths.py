"""Logical paths → files under ``data_roots`` or in ``s3_buckets``; nothing else is opened.

A message names ``/data/raw/x.csv``; where ``/data`` lies on this machine is
``handlers.yaml``'s to say. Symbolic links are followed before the decision, so
a link that leads out of a root is refused like any other outside path.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from jobu_core.errors import PathRefused
from jobu_core.pipeline.places.buckets import Buckets
from jobu_core.pipeline.places.local import LocalFile
from jobu_core.pipeline.places.s3_names import SCHEME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobu_core.config import Settings
    from jobu_core.pipeline.places.place import Place

_MAX_PATH_BYTES: Final = 4096
_MAX_PART_BYTES: Final = 255
_SHOWN_CHARACTERS: Final = 200
_GLOB_CHARACTERS: Final = frozenset("*?[")


class Paths:
    """The data roots and buckets of this installation, both ways."""

    def __init__(
        self, roots: Mapping[str, str | Path], root_dir: Path, buckets: Buckets | None = None
    ) -> None:
        """Map logical roots to folders; relative folders start at ``root_dir``."""
        self.buckets = Buckets({}) if buckets is None else buckets
        self._root_dir = root_dir.resolve()
        named = {
            PurePosixPath(logical): (self._root_dir / folder).resolve()
            for logical, folder in roots.items()
        }
        # Longest first, so that /data/private wins over /data.
        self._roots = dict(sorted(named.items(), key=lambda item: -len(item[0].parts)))

    @classmethod
    def of(cls, settings: Settings) -> Paths:
        """Return those of the settings; connects to nothing."""
        return cls(settings.handlers.data_roots, settings.root, Buckets(settings.s3_buckets))

    def place(self, logical: str) -> Place:
        """Return where ``logical`` lies, here or in S3; the file need not exist.

        Raises PathRefused as ``resolve`` does, and for a bucket that is not configured.
        """
        if logical.startswith(SCHEME):
            return self.buckets.place(logical)
        path = self.resolve(logical)
        return LocalFile(path, self.logical(path))

    def places(self, pattern: str) -> tuple[Place, ...]:
        """Return the files that ``pattern`` matches, here or in S3, sorted; none if none do."""
        if pattern.startswith(SCHEME):
            return self.buckets.expand(pattern)
        return tuple(LocalFile(path, self.logical(path)) for path in self.expand(pattern))

    def resolve(self, logical: str) -> Path:
        """Return the real path of ``logical`` on this machine; the file need not exist.

        Accepts a path below a logical root, a real path below its folder, and a
        path relative to the project's folder that ends up there. Raises
        PathRefused for anything else, without touching what it refers to.
        """
        asked = self._checked(logical)
        return self._inside(self._located(asked), logical)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The real folders of the roots, those inside another left out."""
        real = sorted(set(self._roots.values()))
        return tuple(
            each
            for each in real
            if not any(each != other and each.is_relative_to(other) for other in real)
        )

    def logical(self, path: Path) -> str:
        """Return the name under which a message would give ``path``."""
        real = path.resolve()
        for name, folder in self._roots.items():
            if real.is_relative_to(folder):
                return str(name / real.relative_to(folder))
        raise PathRefused(f"{path.name}: is not under a data root ({self._known()})")

    def expand(self, pattern: str) -> tuple[Path, ...]:
        """Return the files that ``pattern`` matches, sorted; none if none do.

        A file that is literally called so wins over the pattern's reading. A
        match that leads out of the roots is refused, not skipped.
        """
        asked = self._checked(pattern)
        if not is_pattern(pattern) or self._located(asked).is_file():
            path = self._inside(self._located(asked), pattern)
            return (path,) if path.is_file() else ()
        fixed, rest = _split_at_pattern(asked)
        start = self._inside(self._located(fixed), pattern)
        try:
            found = sorted({self._inside(match, pattern) for match in start.glob(str(rest))})
        except ValueError as error:
            raise PathRefused(f"{pattern!r}: not a usable pattern: {error}") from error
        return tuple(path for path in found if path.is_file())

    def _checked(self, logical: str) -> PurePosixPath:
        """Return ``logical`` as a path, once it is known to be harmless to look at."""
        if not logical or not logical.strip():
            raise PathRefused("an empty path")
        shown = repr(logical[:_SHOWN_CHARACTERS])
        if "\0" in logical:
            raise PathRefused(f"{shown}: a path cannot contain NUL")
        try:
            encoded = logical.encode()
        except UnicodeEncodeError as error:
            raise PathRefused(f"{shown}: is not valid Unicode") from error
        if "://" in logical:
            if logical.startswith(SCHEME):
                raise PathRefused(f"{shown}: is an object in S3; here only a file will do")
            raise PathRefused(f"{shown}: is a URL, not a path under {self._known()}")
        path = PurePosixPath(logical)
        if ".." in path.parts:
            raise PathRefused(f"{shown}: '..' is not allowed")
        if len(encoded) > _MAX_PATH_BYTES:
            raise PathRefused(f"{shown}: longer than {_MAX_PATH_BYTES} bytes")
        if any(len(part.encode()) > _MAX_PART_BYTES for part in path.parts):
            raise PathRefused(f"{shown}: a part is longer than {_MAX_PART_BYTES} bytes")
        return path

    def _located(self, asked: PurePosixPath) -> Path:
        for name, folder in self._roots.items():
            if asked.is_relative_to(name):
                return folder / asked.relative_to(name)
        return self._root_dir / asked

    def _inside(self, path: Path, shown: str) -> Path:
        """Follow links, then insist on a root."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
            raise PathRefused(f"{shown!r}: cannot be resolved: {error}") from error
        if not any(real.is_relative_to(folder) for folder in self._roots.values()):
            raise PathRefused(f"{shown!r}: is not under a data root ({self._known()})")
        return real

    def _known(self) -> str:
        return ", ".join(sorted(str(name) for name in self._roots)) or "none is configured"


def is_pattern(text: str) -> bool:
    """Whether ``text`` holds characters of a glob."""
    return not _GLOB_CHARACTERS.isdisjoint(text)


def _split_at_pattern(path: PurePosixPath) -> tuple[PurePosixPath, PurePosixPath]:
    """Return the folders before the first globbed part, and the rest."""
    parts = path.parts
    first = next(at for at, part in enumerate(parts) if is_pattern(part))
    return PurePosixPath(*parts[:first]), PurePosixPath(*parts[first:])
