"""Packed files, unpacked while they are read: which format, and what is wrong with one.

The format is told by the file's first bytes, not by its name: a download may have
lost its ending, and a browser may have unpacked a file that kept its.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa

from jobu_core.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobu_core.config.datasets import Compression

_LOOKED_AT_BYTES: Final = 10
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE: Final = b"*M\x18"
"""After one byte from P to _: what parallel packers write first."""
_BZ2: Final = b"BZh"
_BZ2_BLOCKS: Final = (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90")
_UNREAD: Final[Mapping[bytes, str]] = {
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x04\x22\x4d\x18": "lz4",
}


class Packed(Protocol):
    """A file on disk, not yet unpacked."""

    @property
    def bytes_read(self) -> int:
        """How many so far."""

    def peek(self, size: int) -> bytes:
        """Return the first bytes; the next read returns them again."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes, none only at the end."""


def unpacked(file: Packed, compression: Compression, name: str) -> Any:  # noqa: ANN401 - see below
    """Return what is read in place of ``file``: itself when it is not packed.

    Raises FileError for a format that is not read, or not the declared one.
    """
    if compression == "none":
        return file
    start = file.peek(_LOOKED_AT_BYTES)
    found = _format_of(start)
    if compression == "auto":
        for magic, other in _UNREAD.items():
            if start.startswith(magic):
                raise FileError(f"{name}: is {other}, which is not read; use gzip, zstd or bz2")
    elif found != compression and start:
        raise FileError(f"{name}: is not {compression}, as csv.compression says")
    return file if found is None else Unpacking(file, found, name)


class Unpacking:
    """The bytes within a packed file; members that follow each other are one text.

    A member is never unpacked as a whole, so a small file that unpacks to a huge one
    costs time, and no memory.
    """

    def __init__(self, file: Packed, compression: Any, name: str) -> None:  # noqa: ANN401 - one of Arrow's names
        """Begin at the start of ``file``."""
        self._file = file
        self._compression = compression
        self._name = name
        raw: Any = file  # Arrow asks for no more than ``read``
        self._stream = pa.CompressedInputStream(pa.PythonFile(raw, "r"), compression)

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, none only at the end; FileError when damaged."""
        try:
            found: bytes = self._stream.read(size)
        except OSError as error:
            if "Truncated" in str(error):
                why = f"is cut off: its {self._compression} data has no end"
            else:
                why = (
                    f"its {self._compression} data is damaged before byte "
                    f"{self._file.bytes_read}, or something else follows it"
                )
            raise FileError(f"{self._name}: {why}") from None
        return found


def _format_of(start: bytes) -> str | None:
    if start.startswith(_GZIP):
        return "gzip"
    if start.startswith(_ZSTD) or (start[1:4] == _ZSTD_SKIPPABLE and start[0] & 0xF0 == ord("P")):
        return "zstd"
    if start.startswith(_BZ2) and start[4:10] in _BZ2_BLOCKS:
        return "bz2"
    return None
