"""``s3://bucket/key`` as text: what is a usable name, and which keys a pattern means.

A key is taken byte for byte: nothing is decoded, collapsed or normalised, so that
two spellings are two objects. What would be ambiguous is refused.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import Final

from jobu_core.errors import PathRefused

SCHEME: Final = "s3://"
_MAX_KEY_BYTES: Final = 1024
_SHOWN_CHARACTERS: Final = 200
_GLOB: Final = re.compile(r"[*?\[]")
_ANY_FOLDERS: Final = "**"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ObjectName:
    """A bucket and a key, or a pattern of keys."""

    bucket: str
    key: str

    def __str__(self) -> str:
        """Return it as a message gives it."""
        return f"{SCHEME}{self.bucket}/{self.key}"

    @property
    def parts(self) -> tuple[str, ...]:
        """The key's folders and its last part."""
        return tuple(self.key.split("/"))

    @property
    def is_pattern(self) -> bool:
        """Whether the key holds characters of a glob."""
        return _GLOB.search(self.key) is not None

    def is_below(self, prefix: str) -> bool:
        """Whether the key lies in the folder ``prefix``, given without a slash at its end."""
        return self.key.startswith(f"{prefix}/")


def object_name(text: str) -> ObjectName:
    """Return the bucket and key that ``text`` names; raises PathRefused for anything unclear."""
    shown = repr(text[:_SHOWN_CHARACTERS])
    bucket, slash, key = text.removeprefix(SCHEME).partition("/")
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise PathRefused(f"{shown}: is not valid Unicode") from error
    parts = key.split("/")
    problems = {
        "names no bucket; write s3://bucket/key": not bucket,
        "names no object; write s3://bucket/key": not slash or not key,
        f"a key has at most {_MAX_KEY_BYTES} bytes": size > _MAX_KEY_BYTES,
        "a key with control characters is not allowed": _CONTROL.search(key) is not None,
        "ends in '/': that is a folder, not an object": key.endswith("/"),
        "an empty part ('//') is not allowed": "" in parts[:-1],
        "'.' and '..' are not allowed": not {".", ".."}.isdisjoint(parts),
    }
    for problem, found in problems.items():
        if found:
            raise PathRefused(f"{shown}: {problem}")
    return ObjectName(bucket, key)


def fixed_folder(pattern: ObjectName) -> tuple[str, ...]:
    """Return the folders before the first part that is a pattern."""
    parts = pattern.parts
    first = next(at for at, part in enumerate(parts) if _GLOB.search(part))
    return parts[:first]


def matches(key: str, pattern: ObjectName) -> bool:
    """Whether a pattern means ``key``: as for files, ``*`` stays in its folder, ``**`` does not."""
    wanted = pattern.parts
    at = _open_at({0}, wanted)
    for part in key.split("/"):
        stays = {each for each in at if wanted[each : each + 1] == (_ANY_FOLDERS,)}
        moves = {
            each + 1
            for each in at - stays
            if each < len(wanted) and fnmatch.fnmatchcase(part, wanted[each])
        }
        at = _open_at(stays | moves, wanted)
    return len(wanted) in at


def check_pattern(pattern: ObjectName) -> None:
    """Raise PathRefused for a pattern that files could not be looked up with either."""
    if any(_ANY_FOLDERS in part and part != _ANY_FOLDERS for part in pattern.parts):
        raise PathRefused(f"{str(pattern)!r}: not a usable pattern: '**' must be a whole folder")
    if pattern.parts[-1] == _ANY_FOLDERS:
        raise PathRefused(f"{str(pattern)!r}: not a usable pattern: '**' means folders; add '/*'")


def _open_at(positions: set[int], wanted: tuple[str, ...]) -> set[int]:
    """Add the positions that are reached without a part: ``**`` may be no folder at all."""
    found = set(positions)
    for at in sorted(positions):
        beyond = at
        while wanted[beyond : beyond + 1] == (_ANY_FOLDERS,):
            beyond += 1
            found.add(beyond)
    return found
