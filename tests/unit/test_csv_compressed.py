"""Packed CSV files: the same rows, or a clear word about what is wrong with the packing."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import zipfile
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from jobu_core.config.datasets import CsvOptions
from jobu_core.errors import FileError
from jobu_core.pipeline.csv_reader import open_csv
from jobu_core.pipeline.infer.dialect import sniff_dialect
from tests.arrow_memory import arrow_peak

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "/data/raw/in.csv.packed"
TEXT = b"id,name\n" + b"".join(b"%d,name %d\n" % (at, at * 7919 % 1000) for at in range(40_000))


def zstd(data: bytes) -> bytes:
    """Pack as one frame."""
    packed: bytes = pa.Codec("zstd").compress(data).to_pybytes()
    return packed


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd,
    "bz2": bz2.compress,
}
each_format = pytest.mark.parametrize("kind", list(PACKERS))


def rows(path: Path, content: bytes, **options: Any) -> int:  # noqa: ANN401 - of CsvOptions
    """Return how many rows the file has; read in small portions."""
    path.write_bytes(content)
    with open_csv(
        path, name=NAME, options=CsvOptions(**options), rename={}, block_bytes=1 << 16
    ) as reader:
        found = sum(batch.rows.num_rows for batch in reader.batches())
        assert reader.sha256 == hashlib.sha256(content).hexdigest(), "of the bytes on disk"
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file of the test goes; its name tells nothing."""
    return tmp_path / "in.csv.packed"


@each_format
def test_packed_text_is_read_and_the_hash_is_of_the_file(path: Path, kind: str) -> None:
    """Found by its first bytes, and when it is declared."""
    packed = PACKERS[kind](TEXT)
    assert rows(path, packed) == 40_000
    assert rows(path, packed, compression=kind) == 40_000


@each_format
def test_members_that_follow_each_other_are_one_text(path: Path, kind: str) -> None:
    """Log shippers append member after member; a row may begin in one and end in the next."""
    pack = PACKERS[kind]
    assert rows(path, pack(TEXT[:100_003]) + pack(TEXT[100_003:]) + pack(b"1,z\n")) == 40_001


@each_format
@pytest.mark.parametrize("left", [0.5, 0.999])
def test_a_cut_off_file_is_an_error(path: Path, kind: str, left: float) -> None:
    """Half a download is not the file."""
    packed = PACKERS[kind](TEXT)
    with pytest.raises(FileError, match=rf"{NAME}: is cut off: its {kind} data has no end"):
        rows(path, packed[: int(len(packed) * left)])


@each_format
@pytest.mark.parametrize("after", [b"and some garbage", b"\0" * 512])
def test_something_after_the_end_is_an_error(path: Path, kind: str, after: bytes) -> None:
    """Nobody can say whether it was meant to be read."""
    with pytest.raises(FileError, match=rf"its {kind} data is damaged before byte \d+, or some"):
        rows(path, PACKERS[kind](TEXT) + after)


@pytest.mark.parametrize("kind", ["gzip", "bz2"])
def test_a_damaged_byte_is_an_error(path: Path, kind: str) -> None:
    """The formats that always have a checksum; zstd has one if its writer wanted one."""
    packed = bytearray(PACKERS[kind](TEXT))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(FileError, match="damaged"):
        rows(path, bytes(packed))


@pytest.mark.parametrize("kind", ["xz", "zip"])
def test_formats_that_are_not_read_are_named(path: Path, kind: str) -> None:
    """With those that are."""
    if kind == "xz":
        packed = lzma.compress(TEXT)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("in.csv", TEXT)
        packed = path.read_bytes()
    with pytest.raises(FileError, match=f"is {kind}, which is not read; use gzip, zstd or bz2"):
        rows(path, packed)


def test_a_declared_format_must_be_the_files(path: Path) -> None:
    """Plain text, or another format; ``none`` takes the bytes as they are."""
    for content in (TEXT, bz2.compress(TEXT)):
        with pytest.raises(FileError, match=r"is not gzip, as csv\.compression says"):
            rows(path, content, compression="gzip")
    with pytest.raises(FileError, match="byte 1 is not valid utf-8"):
        rows(path, gzip.compress(TEXT), compression="none")


def test_a_name_says_nothing_of_the_content(tmp_path: Path) -> None:
    """A browser unpacks and keeps the ending."""
    assert rows(tmp_path / "in.csv.gz", TEXT) == 40_000
    with pytest.raises(FileError, match="is empty"):
        rows(tmp_path / "in.csv.gz", b"")


@each_format
def test_a_packed_file_that_changes_while_it_is_read_fails(path: Path, kind: str) -> None:
    """It is watched on disk, like any other."""
    path.write_bytes(PACKERS[kind](TEXT))

    def read_all() -> None:
        with open_csv(path, name=NAME, options=CsvOptions(), rename={}, block_bytes=4096) as reader:
            for _ in reader.batches():
                os.utime(path, ns=(1, 1))

    with pytest.raises(FileError, match="changed while it was read"):
        read_all()


def test_invalid_text_is_told_with_its_offset_in_the_unpacked_text(path: Path) -> None:
    """The offset on disk would lead nowhere."""
    with pytest.raises(FileError, match=r"byte 5 of what is packed in it is not valid utf-8"):
        rows(path, gzip.compress(b"id\nab\xffcd\n"))


@each_format
def test_a_small_file_that_unpacks_to_a_huge_line_costs_no_memory(path: Path, kind: str) -> None:
    """64 MiB of one letter: refused as a row that is too long, in bounded memory."""
    path.write_bytes(PACKERS[kind](b"id\n" + b"x" * (64 << 20)))
    assert path.stat().st_size < 1 << 20
    with (
        arrow_peak() as peak,
        pytest.raises(FileError, match="a row longer than"),
        open_csv(path, name=NAME, options=CsvOptions(), rename={}) as reader,
    ):
        for _ in reader.batches():
            pass
    assert peak() < 48 << 20


def test_what_a_packed_file_seems_to_be_is_found_out(path: Path) -> None:
    """``datasets init`` looks into it."""
    path.write_bytes(gzip.compress("번호;이름\n1;가\n2;나\n".encode("cp949")))
    found = sniff_dialect(path, name=NAME)
    assert (found.encoding, found.delimiter) == ("cp949", ";")
