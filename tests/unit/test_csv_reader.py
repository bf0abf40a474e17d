"""Reading CSV: cells, nulls, names, encodings, and row numbers that stay right."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobu_core.config.datasets import CsvOptions
from jobu_core.errors import FileError, InvalidParams
from jobu_core.pipeline.csv_reader import RaggedRow, open_csv
from jobu_core.pipeline.types import ROW_COLUMN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME = "/data/raw/in.csv"


def read(
    path: Path,
    content: bytes,
    *,
    rename: Mapping[str, str] | None = None,
    block_bytes: int = 1 << 20,
    **options: str | tuple[str, ...],
) -> tuple[list[tuple[Any, ...]], list[RaggedRow]]:
    """Return (number, cells…) of the good rows, and the ragged ones."""
    path.write_bytes(content)
    rows: list[tuple[Any, ...]] = []
    ragged: list[RaggedRow] = []
    with open_csv(
        path,
        name=NAME,
        options=CsvOptions.model_validate(options),
        rename=rename or {},
        block_bytes=block_bytes,
    ) as reader:
        for batch in reader.batches():
            rows += zip(*(column.to_pylist() for column in batch.rows.columns), strict=True)
            ragged += batch.ragged
        assert reader.rows_read == len(rows) + len(ragged)
    return rows, ragged


def columns(
    path: Path, content: bytes, *, rename: Mapping[str, str] | None = None, encoding: str = "utf-8"
) -> tuple[str, ...]:
    """Return the names of the columns."""
    path.write_bytes(content)
    options = CsvOptions(encoding=encoding)
    with open_csv(path, name=NAME, options=options, rename=rename or {}) as reader:
        return reader.columns


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file of the test goes."""
    return tmp_path / "in.csv"


def test_cells_are_text_and_unquoted_empty_is_null(path: Path) -> None:
    """A quoted empty cell is the empty string; NA is text."""
    rows, _ = read(path, b'a,b\n1,x\n,""\nNA,null\n 2 ,0x1F\n')
    assert rows == [(1, "1", "x"), (2, None, ""), (3, "NA", "null"), (4, " 2 ", "0x1F")]


def test_null_values_widen_what_is_null_but_never_a_quoted_cell(path: Path) -> None:
    """What somebody took the trouble to quote is text."""
    rows, _ = read(path, b'a,b\n-,"-"\nNA,\n', null_values=("-",))
    assert rows == [(1, None, "-"), (2, "NA", None)]
    rows, _ = read(path, b'a,b\nNA,"NA"\nnull,x\n', null_values="pandas")
    assert rows == [(1, None, "NA"), (2, None, "x")]


def test_header_is_trimmed_normalised_and_renamed(path: Path) -> None:
    """Hangul from macOS is decomposed; the rename is spelled either way."""
    decomposed = "\u110b\u1175\u1105\u1173\u11b7"
    content = f" id ,{decomposed},\n1,2,3\n".encode()
    assert columns(path, content) == ("id", "이름", "column_3")
    assert columns(path, content, rename={"이름": "name"}) == ("id", "name", "column_3")
    assert columns(path, content, rename={decomposed: "name"})[1] == "name"


def test_header_problems_come_all_in_one_error(path: Path) -> None:
    """Duplicates after renaming, unknown names, jobu's own name."""
    with pytest.raises(FileError) as caught:
        columns(path, b"a,a,b,__jobu_row\n", rename={"b": "c", "idd": "x", "ab": "y"})
    text = str(caught.value)
    assert NAME in text
    assert "column 'a' appears 2 times" in text
    assert "no column 'idd' to rename" in text
    assert "__jobu_row" in text
    with pytest.raises(FileError, match="column 'b' appears 2 times"):
        columns(path, b"a,b\n", rename={"a": "b"})


def test_numbers_count_rows_not_lines(path: Path) -> None:
    """A quoted newline is one row, an empty line none, a ragged row one."""
    rows, ragged = read(path, b'a,b\n1,"x\ny"\n\n2\n3,z\n4,5,6\n7,8\n9\n')
    assert rows == [(1, "1", "x\ny"), (3, "3", "z"), (5, "7", "8")]
    assert ragged == [
        RaggedRow(2, 2, 1, "2"),
        RaggedRow(4, 2, 3, "4,5,6"),
        RaggedRow(6, 2, 1, "9"),
    ]


def test_byte_order_marks_are_skipped(path: Path) -> None:
    """Excel writes one in front of UTF-8; UTF-16 needs one."""
    assert columns(path, b"\xef\xbb\xbfid,name\n1,a\n") == ("id", "name")
    assert columns(path, "id,name\n1,a\n".encode("utf-16"), encoding="utf-16") == ("id", "name")
    with pytest.raises(FileError, match="utf-16"):
        columns(path, "id,name\n".encode("utf-16-be"), encoding="utf-16")


@pytest.mark.parametrize("encoding", ["cp949", "euc-kr", "utf-16", "utf-16-le", "utf-8-sig"])
def test_other_encodings_are_read(path: Path, encoding: str) -> None:
    """The same text in any encoding gives the same cells."""
    rows, _ = read(path, "번호,이름\n1,홍길동\n".encode(encoding), encoding=encoding)
    assert rows == [(1, "1", "홍길동")]


@pytest.mark.parametrize(
    ("content", "encoding", "offset"),
    [
        (b"id\nab\xffcd\n", "utf-8", 5),
        ("id\n가".encode()[:-1], "utf-8", 3),
        ("id\n가나".encode("cp949") + b"\xff\xff\n", "cp949", 7),
        (b"id\n" + b"x" * (1 << 20) + b"\xff", "utf-8", 3 + (1 << 20)),
    ],
)
def test_invalid_bytes_are_told_with_their_offset(
    path: Path, content: bytes, encoding: str, offset: int
) -> None:
    """The offset is that of the file, beyond the first chunk too."""
    with pytest.raises(FileError, match=rf"{NAME}: byte {offset} is not valid"):
        read(path, content, encoding=encoding, block_bytes=1 << 22)


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\n\n", b"\xef\xbb\xbf"])
def test_empty_file_is_an_error(path: Path, content: bytes) -> None:
    """Without a header there is nothing to hold the columns against."""
    with pytest.raises(FileError, match="is empty"):
        read(path, content)


@pytest.mark.parametrize("content", [b"a,b", b"a,b\n", b"a,b\r\n", b"a,b\n\n"])
def test_header_only_is_a_file_of_no_rows(path: Path, content: bytes) -> None:
    """No rows is not an error here; guards of the load decide."""
    assert read(path, content) == ([], [])
    assert columns(path, content) == ("a", "b")


def test_last_row_needs_no_newline_and_lines_may_end_any_way(path: Path) -> None:
    """CR LF, LF and CR give the same rows."""
    for content in (b"a,b\n1,2\n3,4", b"a,b\r\n1,2\r\n3,4\r\n", b"a,b\r1,2\r3,4\r"):
        assert read(path, content)[0] == [(1, "1", "2"), (2, "3", "4")]


def test_delimiter_and_quote_are_options(path: Path) -> None:
    """Semicolons and apostrophes are common; quoting can be off."""
    rows, _ = read(path, b"a;b\n1;'x;y'\n", delimiter=";", quote="'")
    assert rows == [(1, "1", "x;y")]
    rows, _ = read(path, b'a,b\n1,"x\n', quote="")
    assert rows == [(1, "1", '"x')]


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ";;"},
        {"delimiter": ""},
        {"delimiter": "€"},
        {"quote": ","},
        {"quote": "\n"},
        {"encoding": "klingon"},
        {"encoding": "base64"},
        {"encoding": "a\0b"},
    ],
)
def test_options_that_no_file_satisfies_are_params_at_fault(
    path: Path, options: dict[str, str]
) -> None:
    """The message names the option."""
    with pytest.raises(InvalidParams, match=r"csv\."):
        read(path, b"a\n1\n", rename=None, block_bytes=1024, **options)


@pytest.mark.parametrize(
    "content",
    [
        b'a,b\n1,"x\n2,3\n4,5\n',
        b'a,b\n1,"x\n2,3',
        b'a,b,c\n1,2,3\n1,"x\n2,3\n',
        b'a,b\n1,"' + b"x\n" * 3000,
    ],
)
def test_quote_that_never_closes_is_an_error(path: Path, content: bytes) -> None:
    """It would swallow the rest of the file as one cell."""
    with pytest.raises(FileError, match="never closed"):
        read(path, content, block_bytes=2048)


def test_value_that_ends_in_a_newline_is_not_an_open_quote(path: Path) -> None:
    """Only a cell without its closing quote is."""
    assert read(path, b'a,b\n1,"x\n"\n')[0] == [(1, "1", "x\n")]
    assert read(path, b'a,b\n1,"x\n"')[0] == [(1, "1", "x\n")]
    assert read(path, b'a,b\n"x\n",1\n')[0] == [(1, "x\n", "1")]


def test_error_texts_never_quote_cells(path: Path) -> None:
    """Arrow's own messages do."""
    with pytest.raises(FileError) as caught:
        read(path, b"a,b\n1," + b"SECRET" * 1000, block_bytes=1024)
    assert "SECRET" not in str(caught.value)
    assert "1024 bytes" in str(caught.value)


def test_file_that_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    """A pipe would block for ever, a folder has no bytes."""
    os.mkfifo(tmp_path / "pipe.csv")
    for path, text in (
        (tmp_path / "pipe.csv", "not a regular file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "none.csv", "no such file"),
    ):
        with (
            pytest.raises(FileError, match=text),
            open_csv(path, name=NAME, options=CsvOptions(), rename={}),
        ):
            pass


@pytest.mark.parametrize("change", ["grow", "touch", "shrink"])
def test_file_that_changes_while_it_is_read_fails(path: Path, change: str) -> None:
    """Half an upload must not pass for the whole."""
    path.write_bytes(b"a,b\n" + b"1,2\n" * 100_000)

    def alter() -> None:
        if change == "grow":
            with path.open("ab") as file:
                file.write(b"3,4\n")
        elif change == "touch":
            os.utime(path, ns=(1, 1))
        else:
            os.truncate(path, 12)

    def read_all() -> None:
        with open_csv(path, name=NAME, options=CsvOptions(), rename={}, block_bytes=4096) as reader:
            for number, _ in enumerate(reader.batches()):
                if number == 0:
                    alter()

    with pytest.raises(FileError, match="changed while it was read"):
        read_all()


def test_hash_is_of_the_bytes_on_disk(path: Path) -> None:
    """Not of the text that they were decoded to."""
    content = "이름\n홍\n".encode("cp949")
    path.write_bytes(content)
    with open_csv(path, name=NAME, options=CsvOptions(encoding="cp949"), rename={}) as reader:
        list(reader.batches())
        assert reader.sha256 == hashlib.sha256(content).hexdigest()


def test_batches_stay_small(path: Path) -> None:
    """A long file never becomes one batch."""
    path.write_bytes(b"a,b\n" + b"1234567,89\n" * 50_000)
    with open_csv(path, name=NAME, options=CsvOptions(), rename={}, block_bytes=8192) as reader:
        sizes = [batch.rows.nbytes for batch in reader.batches()]
    assert len(sizes) > 50
    assert max(sizes) < 8192 * 4


cells = (
    st.none()
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
    | st.sampled_from(["", "NA", '"', ",", "\n", "\r\n", " ", "a,b", 'x"y', "\ufeff"])
)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.lists(cells, min_size=1, max_size=4), max_size=30),
    block_bytes=st.sampled_from([256, 1024, 1 << 20]),
)
def test_what_is_written_is_read_back_with_its_number(
    rows: Sequence[list[str | None]], block_bytes: int
) -> None:
    """Null and empty stay apart; ragged rows keep their place; any block size."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(["a", "b"])
    for row in rows:
        written.write(",".join(_spelled(cell, alone=len(row) == 1) for cell in row) + "\n")
    content = written.getvalue().encode()
    with tempfile.TemporaryDirectory() as folder:
        found, ragged = read(Path(folder) / "in.csv", content, block_bytes=block_bytes)
    expected = [(at, *row) for at, row in enumerate(rows, start=1) if len(row) == 2]
    assert found == expected
    assert [(row.number, row.actual) for row in ragged] == [
        (at, len(row)) for at, row in enumerate(rows, start=1) if len(row) != 2
    ]


def _spelled(cell: str | None, *, alone: bool) -> str:
    """Quote every cell but null; a lone null would be an empty line, which is no row."""
    if cell is None:
        return "null" if alone else ""
    doubled = cell.replace('"', '""')
    return f'"{doubled}"'


def test_row_column_is_first_and_never_null(path: Path) -> None:
    """Later stages rely on it."""
    path.write_bytes(b"a\n1\n")
    with open_csv(path, name=NAME, options=CsvOptions(), rename={}) as reader:
        field = reader.schema.field(0)
    assert (field.name, field.nullable) == (ROW_COLUMN, False)
