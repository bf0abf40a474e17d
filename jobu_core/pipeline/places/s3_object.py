"""An object in S3: fetched whole before it is read, put whole after it was written.

What is read is a copy of one version in the work folder; the object is asked for
its identity before and after. What is written goes up from a finished local file
and becomes visible in one moment, when the last byte is there.
"""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pyarrow as pa

from jobu_core.crash_points import reach
from jobu_core.errors import FileError, Outage
from jobu_core.pipeline.places.s3_failures import explained, failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pyarrow import NativeFile

    from jobu_core.pipeline.places.s3_client import BucketClient
    from jobu_core.pipeline.places.s3_names import ObjectName

_READ_BYTES: Final = 8 << 20
_READERS: Final = 4
_PART_BYTES: Final = 10 << 20
_PARTS_IN_FLIGHT: Final = 4
"""Arrow copies each part that waits, so that this bounds its memory."""
_TAIL_BYTES: Final = 64 << 10
"""Read back after an upload: the footer of a Parquet is there."""
_MAX_NAME_BYTES: Final = 200
_MAX_SUFFIX: Final = 8
_IDENTITY: Final = ("ETag", "VersionId", "Last-Modified")


@dataclass(frozen=True, slots=True)
class S3Object:
    """One key of a configured bucket."""

    client: BucketClient
    key: ObjectName

    @property
    def name(self) -> str:
        """``s3://bucket/key``."""
        return str(self.key)

    @property
    def here(self) -> None:
        """Nothing: it lies elsewhere."""

    def exists(self) -> bool:
        """Whether there is such an object."""
        return self._identity() is not None

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Path]:
        """Lend a copy of one version in ``folder``."""
        with self._in(folder) as path:
            self._fetch(path)
            reach("place.fetched")
            yield path

    @contextmanager
    def draft(self, folder: Path) -> Iterator[Path]:
        """Lend a path in ``folder``."""
        with self._in(folder) as path:
            yield path

    def publish(self, draft: Path) -> None:
        """Put ``draft`` under the key, and look whether it is there as it was written."""
        if not draft.is_file():
            raise FileError(f"{self.name}: was not written")
        reach("place.drafted")
        # In a thread nothing can come between opening and closing: Arrow closes what was
        # given up half way, and what is closed becomes visible.
        with ThreadPoolExecutor(1, "s3-put") as thread:
            thread.submit(self._put, draft).result()
        reach("place.put")
        self._compare(draft)

    def beside(self, name: str) -> S3Object:
        """Return the object of that name in the same folder of keys."""
        folder, slash, _ = self.key.key.rpartition("/")
        return S3Object(self.client, type(self.key)(self.key.bucket, f"{folder}{slash}{name}"))

    @property
    def _path(self) -> str:
        return f"{self.key.bucket}/{self.key.key}"

    @contextmanager
    def _in(self, folder: Path) -> Iterator[Path]:
        """Lend a path whose name is the key's last part; it and its folder go afterwards."""
        last = self.key.parts[-1]
        name = last if len(last.encode()) <= _MAX_NAME_BYTES else f"object{_ending(last)}"
        own = folder / f"s3-{uuid4().hex}"
        own.mkdir(parents=True)
        try:
            yield own / name
        finally:
            for left in own.iterdir():
                left.unlink()
            own.rmdir()

    def _identity(self) -> tuple[object, ...] | None:
        """Return what tells this version of the object from another; None if there is none."""
        try:
            with self.client.files.open_input_file(self._path) as found:
                return _identity_of(found)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failure(self.name, self.client.name, str(error)) from None

    def _fetch(self, path: Path) -> None:
        """Copy one version of the object to ``path``, or raise."""
        before = self._identity()
        if before is None:
            self.client.insist(self.name)
            raise FileError(f"{self.name}: no such object")
        try:
            with explained(self.name, self.client.name):
                self._copy(path)
        except FileError:
            if self._identity() == before:
                raise
        else:
            if self._identity() == before:
                return
        raise FileError(
            f"{self.name}: changed while it was read; write to another key, or only once"
        )

    def _copy(self, path: Path) -> None:
        """Read ranges at once, each to its place in the file."""
        with self.client.files.open_input_file(self._path) as source:
            size: int = source.size()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            threads = ThreadPoolExecutor(_READERS, "s3-get")
            try:
                self._reserve(descriptor, size)
                reading = (
                    threads.submit(self._copy_range, source, descriptor, at, size)
                    for at in range(0, size, _READ_BYTES)
                )
                for done in list(reading):
                    done.result()
            finally:
                threads.shutdown(cancel_futures=True)
                os.close(descriptor)

    def _reserve(self, descriptor: int, size: int) -> None:
        try:
            if size:
                os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            raise self._no_copy(error) from error

    def _copy_range(self, source: NativeFile, descriptor: int, at: int, size: int) -> None:
        wanted = min(_READ_BYTES, size - at)
        data = _read_at(source, wanted, at)
        if len(data) != wanted:
            raise FileError(f"{self.name}: ended at byte {at + len(data)} of {size}")
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(descriptor, view, at)
                view, at = view[written:], at + written
        except OSError as error:
            raise self._no_copy(error) from error

    def _no_copy(self, error: OSError) -> Outage:
        """Say that this machine is at fault, not the data."""
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        why = "there is no room for it" if full else error.strerror
        return Outage(f"{self.name}: cannot be copied to the work folder: {why}")

    def _put(self, draft: Path) -> None:
        """Upload; nothing of this machine can fail between opening and closing."""
        size = draft.stat().st_size
        data = pa.memory_map(str(draft)).read_buffer() if size else pa.py_buffer(b"")
        with explained(self.name, self.client.name):
            stream = self.client.files.open_output_stream(self._path)
            try:
                for number, at in enumerate(range(0, size, _PART_BYTES), start=1):
                    stream.write(data.slice(at, min(_PART_BYTES, size - at)))
                    if number % _PARTS_IN_FLIGHT == 0:
                        stream.flush()
                stream.close()
            except OSError:
                # After a part has failed closing gives the upload up. Left to the garbage
                # collector, it would do so with every other thread standing still.
                with suppress(OSError):
                    stream.close()
                raise

    def _compare(self, draft: Path) -> None:
        """Raise FileError unless the object has the draft's size and end."""
        size = draft.stat().st_size
        start = max(0, size - _TAIL_BYTES)
        with draft.open("rb") as file:
            file.seek(start)
            end = file.read()
        with (
            explained(self.name, self.client.name),
            self.client.files.open_input_file(self._path) as found,
        ):
            there = found.size()
            same = there == size and _read_at(found, size - start, start) == end
        if not same:
            raise FileError(
                f"{self.name}: is not there as it was written ({size} bytes up, {there} there); "
                "does somebody else write to the same key?"
            )


def _read_at(source: NativeFile, count: int, at: int) -> bytes:
    """Read one range; threads may do so at the same time."""
    data: bytes = source.read_at(count, at)  # type: ignore[call-arg] # wrong in the stubs
    return data


def _identity_of(found: NativeFile) -> tuple[object, ...]:
    known: Mapping[Any, object] = found.metadata()  # text, unlike what the stubs say
    return (found.size(), *(known.get(each) for each in _IDENTITY))


def _ending(name: str) -> str:
    """Return the suffixes by which readers know a format; nothing if they are no suffixes."""
    return "".join(f".{each}" for each in name.split(".")[1:][-2:] if len(each) <= _MAX_SUFFIX)
