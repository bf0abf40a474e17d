"""The user's bytes: hashed, unpacked, decoded and watched while they are read, once.

What comes out is UTF-8 for the CSV parser; what is remembered is the sha256 of
the bytes as they lie on disk, and whether the file changed under the reader.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import stat
from typing import TYPE_CHECKING, Final

from jobu_core.errors import FileError, InvalidParams
from jobu_core.pipeline.compressed import unpacked

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO, Any

    from jobu_core.config.datasets import Compression

_CHUNK_BYTES: Final = 1 << 20
_TAIL_BYTES: Final = 64


class InputBytes(io.RawIOBase):
    """A regular file as a stream of UTF-8, ending in a newline.

    Raises FileError that names the file and the byte offset when the bytes are
    not valid in the declared encoding.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        encoding: str = "utf-8",
        compression: Compression = "auto",
    ) -> None:
        """Open ``path``; ``name`` is what messages call it."""
        super().__init__()
        self._name = name
        self._encoding = _text_encoding(encoding)
        self._decoder = codecs.getincrementaldecoder(self._encoding)("strict")
        self._fed = 0
        self._ended = False
        self._ready = b""
        self._last = b"\n"
        self._last_of_text = b""
        self._disk = _OnDisk(path, name)
        try:
            self._bytes: IO[bytes] | Any = unpacked(self._disk, compression, name)
        except BaseException:
            self._disk.close()
            raise

    @property
    def sha256(self) -> str:
        """Hash of every byte on disk; call ``finish`` first."""
        return self._disk.digest.hexdigest()

    @property
    def total_bytes(self) -> int:
        """Size on disk when it was opened."""
        return self._disk.size

    @property
    def read_bytes(self) -> int:
        """Bytes on disk that were read so far."""
        return self._disk.bytes_read

    @property
    def last_character(self) -> str:
        """The last byte before the newlines at the end, if it is ASCII."""
        return self._last_of_text.decode("ascii", "ignore")

    @property
    def holds_text(self) -> bool:
        """Whether there was more than newlines and a byte order mark so far."""
        return bool(self._last_of_text)

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return ``size`` bytes of UTF-8; fewer only at the end.

        The parser takes what one call gives for one block.
        """
        parts, have = [self._ready], len(self._ready)
        while not self._ended and (size < 0 or have < size):
            part = self._next_chunk(_CHUNK_BYTES if size < 0 else size - have)
            parts.append(part)
            have += len(part)
        # Mostly one part, given on as it is: each copy would stay in the reading thread's heap.
        taken = b"".join([part for part in parts if part])
        self._ready = b"" if size < 0 else taken[size:]
        return taken[:size] if self._ready else taken

    def finish(self) -> None:
        """Read what is left and insist that the file is the one that was opened."""
        while self.read(_CHUNK_BYTES):
            pass
        self._disk.finish()

    def close(self) -> None:
        """Close the file; the hash stays readable."""
        if not self.closed:
            self._disk.close()
        super().close()

    def _next_chunk(self, size: int) -> bytes:
        chunk: bytes = self._bytes.read(size)
        decoded = self._decode(chunk)
        text = decoded if self._fed else decoded.removeprefix(codecs.BOM_UTF8)
        self._fed += len(chunk)
        self._last = decoded[-1:] or self._last
        self._last_of_text = _before_newlines(text) or self._last_of_text
        if chunk:
            return decoded
        self._ended = True
        # The parser takes a header without a newline after it for an empty file.
        return decoded if self._last == b"\n" else decoded + b"\n"

    def _decode(self, chunk: bytes) -> bytes:
        pending = len(self._decoder.getstate()[0])
        if not pending and self._encoding == "utf-8" and chunk.isascii():
            return chunk
        try:
            return self._decoder.decode(chunk, final=not chunk).encode()
        except UnicodeDecodeError as error:
            packed = " of what is packed in it" if self._bytes is not self._disk else ""
            raise FileError(
                f"{self._name}: byte {self._fed - pending + error.start}{packed} is not valid "
                f"{self._encoding} ({error.reason}); set csv.encoding to the file's own"
            ) from None
        except UnicodeError as error:  # utf-16 without a byte order mark
            raise FileError(f"{self._name}: is not valid {self._encoding}: {error}") from None


class _OnDisk(io.RawIOBase):
    """A file's bytes as they are, hashed and counted."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__()
        self._name = name
        self._read = 0
        self._ahead = b""
        self.digest = hashlib.sha256()
        self._file = _open_regular(path, name)
        self._before = _identity(self._file)

    @property
    def size(self) -> int:
        """How many there were when it was opened."""
        return self._before[0]

    @property
    def bytes_read(self) -> int:
        """How many so far."""
        return self._read

    def readable(self) -> bool:
        return True

    def peek(self, size: int) -> bytes:
        """Return the first bytes; the next read returns them again."""
        self._ahead = self.read(size)
        return self._ahead

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes, none only at the end."""
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            return ahead
        try:
            chunk = self._file.read(size)
        except OSError as error:
            raise FileError(f"{self._name}: cannot be read: {error.strerror}") from error
        self.digest.update(chunk)
        self._read += len(chunk)
        return chunk

    def finish(self) -> None:
        """Read what is left and insist that the file is the one that was opened."""
        while self.read(_CHUNK_BYTES):
            pass
        after = _identity(self._file)
        if after != self._before or self._read != self._before[0]:
            raise FileError(
                f"{self._name}: changed while it was read "
                f"({self._before[0]} bytes at first, {max(after[0], self._read)} at the end); "
                "write to another name and rename when complete"
            )

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _before_newlines(text: bytes) -> bytes:
    """Return the last byte that is no newline; few texts end in many."""
    end = text[-_TAIL_BYTES:].rstrip(b"\r\n") or text.rstrip(b"\r\n")
    return end[-1:]


def _text_encoding(encoding: str) -> str:
    try:
        found = codecs.lookup(encoding).name
        io.TextIOWrapper(io.BytesIO(), encoding=found).close()  # refuses base64 and its like
    except (LookupError, ValueError):
        raise InvalidParams(f"csv.encoding: {encoding!r} is not a known text encoding") from None
    return found


def _open_regular(path: Path, name: str) -> io.FileIO:
    """Open without blocking on a pipe or a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise FileError(f"{name}: no such file") from None
    except OSError as error:
        raise FileError(f"{name}: cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileError(f"{name}: is not a regular file")
    return io.FileIO(descriptor, "rb", closefd=True)


def _identity(file: io.FileIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns
