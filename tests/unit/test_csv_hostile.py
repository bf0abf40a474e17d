"""CSV files that nobody should write: the right rows, or a clear error, never half of either."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from jobu_core.config.datasets import CsvOptions
from jobu_core.errors import FileError
from jobu_core.pipeline.csv_reader import CsvReader, open_csv
from jobu_core.pipeline.input_bytes import InputBytes
from jobu_core.pipeline.preprocess import preprocess
from jobu_core.pipeline.validate.report import ValidationOptions
from jobu_core.pipeline.validate.rows import validate_file
from tests.arrow_memory import arrow_peak
from tests.meter_support import Heard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobu_core.pipeline.preprocess import PreprocessReport

NAME = "/data/raw/in.csv"
MIB = 1 << 20


def run(folder: Path, content: bytes, **params: Any) -> PreprocessReport:  # noqa: ANN401 - of preprocess
    """Preprocess a file with this content."""
    source = folder / "in.csv"
    source.write_bytes(content)
    csv = CsvOptions.model_validate(params.pop("csv", {}))
    return preprocess(
        source, output_path=folder / "out.parquet", source_name=NAME, csv=csv, **params
    )


def cells(report: PreprocessReport) -> list[tuple[Any, ...]]:
    """Return the rows that were written, without their numbers."""
    table = pq.read_table(report.path).drop_columns(["__jobu_row"])
    return [tuple(row.values()) for row in table.to_pylist()]


def refused(folder: Path, content: bytes, **params: Any) -> str:  # noqa: ANN401 - of preprocess
    """Return why the file is refused, having written nothing."""
    with pytest.raises(FileError) as caught:
        run(folder, content, **params)
    assert not (folder / "out.parquet").exists()
    assert not list(folder.glob("*.tmp"))
    return str(caught.value)


def test_newlines_of_every_kind_end_rows(tmp_path: Path) -> None:
    """LF, CR LF and a lone CR, mixed in one file; within quotes they are text as they are."""
    content = b'a,b\r1,2\n3,4\r\n5,"x\r\ny\rz\n"\r\n\r\r7,8\r9,0'
    assert cells(run(tmp_path, content)) == [
        ("1", "2"),
        ("3", "4"),
        ("5", "x\r\ny\rz\n"),
        ("7", "8"),
        ("9", "0"),
    ]


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(st.text("abc\r\n", max_size=8), st.sampled_from(["\n", "\r\n", "\r"])),
        min_size=1,
        max_size=60,
    ),
    block_bytes=st.integers(64, 300),
)
def test_newlines_are_the_same_wherever_a_block_ends(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], block_bytes: int
) -> None:
    """A CR LF that two blocks share is one end, with and without quotes around it."""
    path = tmp_path_factory.getbasetemp() / "newlines.csv"
    written = "".join(f'"{text}",{at}{end}' for at, (text, end) in enumerate(rows))
    path.write_bytes(f"a,b\r\n{written}".encode())
    found: list[tuple[int, str, str]] = []
    with open_csv(
        path, name=NAME, options=CsvOptions(), rename={}, block_bytes=block_bytes
    ) as reader:
        for batch in reader.batches():
            assert not batch.ragged
            found += zip(*(each.to_pylist() for each in batch.rows.columns), strict=True)
    assert found == [(at + 1, text, str(at)) for at, (text, _) in enumerate(rows)]


def test_nul_bytes_are_text_until_a_column_cannot_hold_them(tmp_path: Path) -> None:
    """They neither end a cell nor a file; the row is a reject of the validation."""
    report = run(tmp_path, b"id,name\n1,a\0b\n2,c\n")
    assert cells(report) == [("1", "a\0b"), ("2", "c")]

    class Row(BaseModel):
        id: int
        name: str

    found = validate_file(
        report.path, model=Row, output_path=tmp_path / "valid.parquet", source_name=NAME
    )
    assert (found.valid, found.counts) == (1, {"name": {"nul_character": 1}})
    nul_in_header = run(tmp_path, b"a\0,b\n1,2\n")
    assert [name for name, _ in nul_in_header.columns] == ["a\0", "b"]


def test_numbers_beyond_all_bounds_are_rejects_or_infinite_by_the_model(tmp_path: Path) -> None:
    """1e400 is no float that anybody wrote; Decimal and int say so themselves."""

    class Row(BaseModel, allow_inf_nan=False):
        f: float
        d: Decimal | None

    report = run(tmp_path, b"f,d\n1e400,\n1,1e400\n2.5,\n-1e400,\n", types={})
    found = validate_file(
        report.path,
        model=Row,
        output_path=tmp_path / "valid.parquet",
        source_name=NAME,
        options=ValidationOptions(decimals={"d": (10, 2)}),
    )
    assert (found.valid, found.rejected) == (1, 3)
    assert found.counts["f"] == {"finite_number": 2}
    assert found.counts["d"] == {"out_of_storage_range": 1}
    typed = run(tmp_path, b"i,d\n1e400,1\n1,1e400\n2,2\n", types={"i": "int", "d": "decimal(9,2)"})
    assert (typed.rows_out, typed.rejected) == (1, 2)


def test_ten_thousand_columns_are_read(tmp_path: Path) -> None:
    """With their names, a ragged row among them, and one duplicate told by name."""
    width = 10_000
    header = ",".join(f"column_with_a_name_{at}" for at in range(width))
    row = ",".join(str(at) for at in range(width))
    report = run(tmp_path, f"{header}\n{row}\n{row},1\n{row}\n".encode())
    assert (report.rows_out, report.rejected, len(report.columns)) == (2, 1, width)
    last = pq.read_table(report.path, columns=[f"column_with_a_name_{width - 1}"])
    assert last.to_pylist() == [{"column_with_a_name_9999": "9999"}] * 2
    (tmp_path / "out.parquet").unlink()
    told = refused(tmp_path, f"{header},column_with_a_name_7\n{row},1\n".encode())
    assert told == f"{NAME}: header: column 'column_with_a_name_7' appears 2 times"


def test_a_header_longer_than_a_row_may_be_is_refused(tmp_path: Path) -> None:
    """A million columns are somebody's mistake."""
    told = refused(tmp_path, b",".join(b"%d" % at for at in range(400_000)) + b"\n")
    assert told.startswith(f"{NAME}: at the start: a row longer than 2097152 bytes")


class _Generated(InputBytes):
    """A line of so many bytes, made while it is read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._made = 0

    def read(self, size: int = -1, /) -> bytes:
        if not self._made:
            self._made = 1
            return b"a,b\n1,2\n"
        made = min(size, self._size - self._made)
        self._made += made
        return b"x" * made

    def finish(self) -> None:
        """Find that it did not change."""

    def close(self) -> None:
        """Close nothing."""

    @property
    def last_character(self) -> str:
        return "x"


@pytest.mark.parametrize(
    "size", [64 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.long)], ids=["64 MB", "1 GB"]
)
@pytest.mark.parametrize("newlines_in_values", [True, False])
def test_a_line_without_end_is_refused_in_bounded_memory(
    size: int, newlines_in_values: bool
) -> None:
    """Never more than what is read ahead, however long the line is."""
    options = CsvOptions(newlines_in_values=newlines_in_values)
    with arrow_peak() as peak:
        reader = CsvReader(_Generated(size), name=NAME, options=options, rename={})
        with pytest.raises(FileError, match=r"a row longer than 2097152 bytes"):
            list(reader.batches())
    assert peak() < 48 * MIB


@pytest.mark.parametrize(
    "size", [64 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.long)], ids=["64 MB", "1 GB"]
)
@pytest.mark.parametrize("start", [b"a,b\n1,2\n3,", b'a,b\n1,2\n3,"', b"", b'"'])
def test_a_sparse_file_of_one_line_is_refused_in_bounded_memory(
    tmp_path: Path, size: int, start: bytes
) -> None:
    """A row, an open quote, a header: NULs to the end of the file."""
    source = tmp_path / "in.csv"
    source.write_bytes(start)
    os.truncate(source, size)
    with arrow_peak() as peak, pytest.raises(FileError, match="a row longer than 2097152 bytes"):
        preprocess(source, output_path=tmp_path / "out.parquet", source_name=NAME)
    assert peak() < 64 * MIB
    assert not (tmp_path / "out.parquet").exists()


def test_rows_up_to_the_limit_are_read(tmp_path: Path) -> None:
    """Just below 2 MiB, wherever the row begins in a block."""
    long = b"y" * (2 * MIB - 64)
    for before in (0, 1, 100_000):
        rows = b"1,2\n" * before + b"3," + long + b"\n4,5\n"
        report = run(tmp_path, b"a,b\n" + rows)
        table = pq.read_table(report.path)
        assert table.num_rows == before + 2
        assert table["b"][before].as_py() == long.decode()


def test_quoted_newlines_may_be_many(tmp_path: Path) -> None:
    """One row of ten thousand lines counts as one."""
    text = "line\n" * 10_000
    report = run(tmp_path, f'a,b\n1,"{text}"\n2\n3,c\n'.encode())
    assert cells(report) == [("1", text), ("3", "c")]
    assert pq.read_table(report.path)["__jobu_row"].to_pylist() == [1, 3]


def test_ragged_rows_at_the_very_ends(tmp_path: Path) -> None:
    """First, last, all but one, and a row of nothing but delimiters."""
    report = run(tmp_path, b"a,b\n1\n,\n,,\n1,2,3")
    assert cells(report) == [(None, None)]
    assert report.rejected == 3


def test_nfd_headers_match_what_people_write(tmp_path: Path) -> None:
    """In filters, columns and types as in the file; two that are one name are refused."""
    nfd = "\u110b\u1175\u1105\u1173\u11b7"
    report = run(
        tmp_path,
        f"{nfd},값\n홍,1\n김,2\n".encode(),
        filters={"이름": {"eq": "홍"}},
        columns=["값", nfd],
        types={"값": "int"},
    )
    assert cells(report) == [(1, "홍")]
    (tmp_path / "out.parquet").unlink()
    assert "'이름' appears 2 times" in refused(tmp_path, f"{nfd},이름\n1,2\n".encode())


@pytest.mark.parametrize(
    ("content", "csv", "told"),
    [
        (b"", {}, "is empty: it has no header row"),
        (b"\r\r\n", {}, "is empty: it has no header row"),
        ("\ufeff".encode("utf-16"), {"encoding": "utf-16"}, "is empty"),
        (b"a,b\n1,\xff\n", {}, r"byte 6 is not valid utf-8 \(invalid start byte\); set csv.encod"),
        (b"a,b\n1,\xed\xa0\x80\n", {}, "byte 6 is not valid utf-8"),
        (b"a,b\n1,\xc0\xaf\n", {}, "byte 6 is not valid utf-8"),
        ("a\n홍길동\n".encode("cp949"), {}, "byte 4 is not valid utf-8"),
        ("a\n홍\n".encode(), {"encoding": "ascii"}, "byte 2 is not valid ascii"),
        ("a\n1".encode("utf-16-le")[:-1], {"encoding": "utf-16-le"}, "byte 4 is not valid utf-16"),
        ("a\n1".encode("utf-16")[:-1], {"encoding": "utf-16"}, "byte 6 is not valid utf-16"),
        (b'a,b\n1,"2\n3,4\n', {}, "row 1: a quote is opened and never closed"),
        (b'a,b\n1,2\n3,"4', {}, "a quote is opened and never closed"),
        (b'a,"b\n1,2\n', {}, "at the start: a row longer than .*, or a quote that is opened and"),
        (b"a, a ,A\n1,2,3\n", {}, "column 'a' appears 2 times"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(
    tmp_path: Path, content: bytes, csv: dict[str, str], told: str
) -> None:
    """Byte, row or column; nothing is written."""
    text = refused(tmp_path, content, csv=csv)
    assert text.startswith(f"{NAME}: ")
    assert re.search(told, text), text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp949", "euc-kr"])
def test_encodings_give_the_same_rows(tmp_path: Path, encoding: str) -> None:
    """With their byte order marks, over many chunks of bytes."""
    rows = [(f"가나다{at}", "라\n마") for at in range(20_000)]
    text = "이름,값\n" + "".join(f'{a},"{b}"\n' for a, b in rows)
    report = run(tmp_path, text.encode(encoding), csv={"encoding": encoding})
    assert cells(report) == rows


@pytest.fixture
def nothing_to_read(tmp_path: Path) -> Iterator[Path]:
    """Return a pipe that somebody holds open and writes nothing to."""
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    yield pipe
    os.close(held)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path, nothing_to_read: Path) -> None:
    """A pipe, a folder, a device without end: none of them is waited for."""
    device = tmp_path / "zero.csv"
    device.symlink_to("/dev/zero")
    for source in (nothing_to_read, tmp_path, device):
        with pytest.raises(FileError, match="is not a regular file"):
            preprocess(source, output_path=tmp_path / "out.parquet", source_name=NAME)


def test_a_file_that_grows_while_it_is_read_writes_nothing(tmp_path: Path) -> None:
    """The rows that were there first are not the file."""
    source = tmp_path / "in.csv"
    source.write_bytes(b"a,b\n" + b"1,2\n" * 200_000)

    class Growing(Heard):
        def start(
            self, stage: str, *, total_rows: int | None = None, total_bytes: int | None = None
        ) -> None:
            """Hear that the header was read, and the first bytes; the end is not looked at yet."""
            super().start(stage, total_rows=total_rows, total_bytes=total_bytes)
            with source.open("ab") as file:
                file.write(b"3,4\n")

    with pytest.raises(FileError, match="changed while it was read"):
        preprocess(source, output_path=tmp_path / "out.parquet", source_name=NAME, meter=Growing())
    assert not (tmp_path / "out.parquet").exists()
