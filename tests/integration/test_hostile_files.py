"""Files that nobody should write, through the handlers: rows in the table, or a clear error."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest

from jobu_core.errors import FileError, PathRefused, RowsRejected

if TYPE_CHECKING:
    from tests.handler_bench import Project

INPUT = "/data/raw/in.csv"


def load(project: Project, content: bytes, **params: object) -> list[tuple[object, ...]]:
    """Run the pipeline on a file and return the table."""
    path = project.write("raw/in.csv", "")
    path.write_bytes(content)
    project.run("pipeline", {"dataset": "sample", "input_path": INPUT, **params})
    return project.bench.rows("SELECT id, name, value FROM sample ORDER BY id")


def test_a_file_with_everything_in_it_lands_right(data_project: Project) -> None:
    """cp949 in gzip, decomposed headers, quoted newlines, lone CRs, ragged and infinite rows."""
    nfd = "\u110b\u1175\u1105\u1173\u11b7"
    rows = '1;"홍\n길동";1.234,5\r2;김;1e400\r\n3;이\n\n4;박;1.5\n5;"";7\n'
    found = load(
        data_project,
        gzip.compress(f"번호;이름;값\n{rows}".encode("cp949")),
        csv={"encoding": "cp949", "delimiter": ";", "decimal": ",", "thousands": "."},
        rename={"번호": "id", nfd: "name", "값": "value"},
    )
    assert found == [(1, "홍\n길동", 1234.5), (2, "김", float("inf"))]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"id,name,value\n1,\xff,1\n", "byte 16 is not valid utf-8"),
        (b"id,id,value\n1,2,3\n", "column 'id' appears 2 times"),
        (b'id,name,value\n1,"a,1\n2,b,2\n', "a quote is opened and never closed"),
        (gzip.compress(b"id,name,value\n1,a,1\n")[:-4], "is cut off"),
        (b"PK\x03\x04 an archive", "is zip, which is not read"),
        (b"id,name\n1,a\n", "no column 'value'"),
    ],
)
def test_what_is_wrong_with_a_file_leaves_no_table(
    data_project: Project, content: bytes, told: str
) -> None:
    """One line that says where."""
    with pytest.raises(FileError, match=told) as caught:
        load(data_project, content)
    assert INPUT in str(caught.value)
    assert data_project.bench.value("SELECT to_regclass('public.sample')") is None


def test_a_header_alone_is_a_file_of_no_rows(data_project: Project) -> None:
    """Whether the table may become empty is for the load's guards to say."""
    found = load(data_project, b"id,name,value\n", mode="append")
    assert found == []


def test_a_file_in_another_spelling_is_rejected_row_by_row(data_project: Project) -> None:
    """Wrong options are every row's fault, and fail the run."""
    with pytest.raises(RowsRejected, match=r"2 of 2 rows rejected.*value: float_parsing 2"):
        load(data_project, b"id;name;value\n1;a;1,5\n2;b;2,5\n", csv={"delimiter": ";"})


def test_what_is_no_file_of_the_roots_is_not_opened(data_project: Project) -> None:
    """A link out of them, a pipe, a folder, with and without a pattern."""
    raw = data_project.root / "data" / "raw"
    outside = data_project.root.parent / "outside.csv"
    outside.write_text("id\n1\n", encoding="utf-8")
    (raw / "linked.csv").symlink_to(outside)
    os.mkfifo(raw / "pipe.csv")
    (raw / "folder.csv").mkdir()
    for name, error in (
        ("linked.csv", PathRefused),
        ("link*.csv", PathRefused),
        ("pipe.csv", FileError),
        ("pip*.csv", FileError),
        ("folder.csv", FileError),
    ):
        params = {"input_path": f"/data/raw/{name}", "output_path": "/data/out.parquet"}
        with pytest.raises(error):
            data_project.run("pandas_preprocess", params)
    assert not (data_project.root / "data" / "out.parquet").exists()
