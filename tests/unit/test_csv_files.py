"""Several CSV files as one input: order, columns, row numbers, hashes."""

from __future__ import annotations

import hashlib
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from jobu_core.config.datasets import CsvOptions
from jobu_core.errors import FileError, InvalidParams, RowsRejected
from jobu_core.pipeline.csv_files import open_csv_files
from jobu_core.pipeline.parquet_writer import read_provenance
from jobu_core.pipeline.preprocess import preprocess
from jobu_core.pipeline.rejects import Limits
from jobu_core.pipeline.sources import InputFile, RowPlaces, SourceFile
from jobu_core.pipeline.validate.report import ValidationOptions
from jobu_core.pipeline.validate.rows import validate_file
from tests.validate_support import Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jobu_core.pipeline.preprocess import PreprocessReport

NAME = "/data/raw/in_*.csv"


def written(folder: Path, *contents: bytes) -> list[InputFile]:
    """Write the files ``in_1.csv`` and so on."""
    files = []
    for at, content in enumerate(contents, start=1):
        path = folder / f"in_{at}.csv"
        path.write_bytes(content)
        files.append(InputFile(path, f"/data/raw/{path.name}"))
    return files


def run(files: Sequence[InputFile], **params: Any) -> PreprocessReport:  # noqa: ANN401 - of preprocess
    """Preprocess into ``out.parquet`` beside the first."""
    output = files[0].path.with_name("out.parquet")
    return preprocess(files, output_path=output, source_name=NAME, **params)


def rejects(path: Path | None) -> list[tuple[Any, ...]]:
    """Return file, row number and rule of each reject."""
    assert path is not None
    return [
        (each["source_file"], each["row_number"], each["error_type"])
        for each in pq.read_table(path).to_pylist()
    ]


def test_files_are_one_stream_numbered_through(tmp_path: Path) -> None:
    """Columns come in the first one's order; a file without rows adds none."""
    files = written(tmp_path, b"id,name\n1,a\n2,b\n", b"id,name\n", b"name,id\nc,3\n")
    report = run(files)
    assert pq.read_table(report.path).to_pylist() == [
        {"__jobu_row": 1, "id": "1", "name": "a"},
        {"__jobu_row": 2, "id": "2", "name": "b"},
        {"__jobu_row": 3, "id": "3", "name": "c"},
    ]
    assert (report.rows_in, report.rows_out) == (3, 3)
    assert [each.rows for each in report.files] == [2, 0, 1]


def test_every_batch_has_the_columns_of_the_first_file(tmp_path: Path) -> None:
    """What reads cells by their place relies on it."""
    files = written(tmp_path, b"id,name\n1,a\n", b"name,id\nc,3\n")
    with open_csv_files(files, options=CsvOptions(), rename={}) as reader:
        found = [batch.rows for batch in reader.batches()]
    assert [each.schema for each in found] == [reader.schema] * 2
    assert [column.to_pylist() for column in found[1].columns] == [[2], ["3"], ["c"]]


def test_rejects_tell_the_file_and_its_own_row_number(tmp_path: Path) -> None:
    """Ragged rows at every edge, cells that no filter compares; a person opens that file."""
    files = written(
        tmp_path,
        b"id,n\n1\n2,5\n3\n",
        b"n,id\nx,4\n7\n6,5\n",
        b"id,n\n1,2,3\n",
    )
    report = run(files, filters={"n": {"gt": 0}}, show_values=True)
    assert rejects(report.rejects_path) == [
        ("/data/raw/in_1.csv", 1, "ragged_row"),
        ("/data/raw/in_1.csv", 3, "ragged_row"),
        ("/data/raw/in_2.csv", 1, "not_comparable"),
        ("/data/raw/in_2.csv", 2, "ragged_row"),
        ("/data/raw/in_3.csv", 1, "ragged_row"),
    ]
    assert pq.read_table(report.path)["__jobu_row"].to_pylist() == [2, 6]
    assert (report.rows_in, report.rejected) == (7, 5)


def test_rejects_of_the_validation_tell_the_file_as_well(tmp_path: Path) -> None:
    """The Parquet between the stages carries which rows are whose."""
    header = b"id,name,value\n"
    files = written(tmp_path, header + b"1,a,1\nx,b,2\n", header + b"3,c,3\n4,d,y\n")
    report = run(files)
    found = validate_file(
        report.path,
        model=Row,
        output_path=tmp_path / "valid.parquet",
        source_name="unused",
        options=ValidationOptions(),
    )
    assert found.source_file == NAME
    assert rejects(found.rejects_path) == [
        ("/data/raw/in_1.csv", 2, "int_parsing"),
        ("/data/raw/in_2.csv", 2, "float_parsing"),
    ]
    origin = read_provenance(found.output_path)
    assert origin is not None
    assert origin.files == report.files


def test_a_single_file_is_as_before(tmp_path: Path) -> None:
    """Its own hash, and nothing of files in the footer."""
    (file,) = written(tmp_path, b"id\n1\n")
    report = run([file])
    assert report.sha256 == hashlib.sha256(b"id\n1\n").hexdigest()
    origin = read_provenance(report.path)
    assert origin is not None
    assert origin.files == ()
    assert b"jobu.source_files" not in (pq.read_metadata(report.path).metadata or {})


def test_hash_of_several_is_what_a_shell_computes(tmp_path: Path) -> None:
    """Contents and their order count, names do not."""
    files = written(tmp_path, b"id\n1\n", b"id\n2\n")
    report = run(files)
    command = "sha256sum in_1.csv in_2.csv | cut -c 1-64 | sha256sum"
    printed = subprocess.run(  # noqa: S602 - our own words
        command, shell=True, cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert report.sha256 == printed.split()[0]
    assert report.sha256 != run(files[::-1]).sha256


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (b"id,nam\n3,c\n", ["no column 'name'", "column 'nam' is only here"]),
        (b"id\n3\n", ["no column 'name'"]),
        (b"id,name,more\n3,c,d\n", ["column 'more' is only here"]),
    ],
)
def test_other_columns_are_one_error_of_that_file(
    tmp_path: Path, second: bytes, told: list[str]
) -> None:
    """With every difference; nothing is written."""
    files = written(tmp_path, b"id,name\n1,a\n", second)
    with pytest.raises(FileError) as caught:
        run(files)
    text = str(caught.value)
    assert text.startswith("/data/raw/in_2.csv: header:")
    assert "/data/raw/in_1.csv" in text
    for each in told:
        assert each in text
    assert not (tmp_path / "out.parquet").exists()


def test_names_are_compared_after_renaming(tmp_path: Path) -> None:
    """A file from macOS has the same columns."""
    files = written(
        tmp_path, "이름\na\n".encode(), " \u110b\u1175\u1105\u1173\u11b7 \nb\n".encode()
    )
    report = run(files, rename={"이름": "name"})
    assert pq.read_table(report.path)["name"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (b"", "in_2.csv: is empty"),
        (b"id,name\n1,\xff\n", "in_2.csv: byte 10 is not valid"),
        (b'id,name\n1,"x\n', "in_2.csv: row 1: a quote is opened"),
    ],
)
def test_what_is_wrong_with_a_file_names_that_file(
    tmp_path: Path, broken: bytes, told: str
) -> None:
    """With the row and the byte counted from its own beginning."""
    files = written(tmp_path, b"id,name\n1,a\n2,b\n", broken)
    with pytest.raises(FileError, match=told):
        run(files)


def test_each_file_is_watched_while_it_is_read(tmp_path: Path) -> None:
    """A later file may grow as well as the first."""
    files = written(tmp_path, b"id\n1\n", b"id\n" + b"2\n" * 50_000)

    def read_all() -> None:
        with open_csv_files(files, options=CsvOptions(), rename={}, block_bytes=4096) as reader:
            for batch in reader.batches():
                if batch.file == 1:
                    os.utime(files[1].path, ns=(1, 1))

    with pytest.raises(FileError, match=r"in_2\.csv: changed while it was read"):
        read_all()


def test_limits_count_the_rows_of_all_files(tmp_path: Path) -> None:
    """One bad row of four is a quarter, wherever it is."""
    files = written(tmp_path, b"id,n\n1,1\n2,2\n", b"id,n\n3\n4,4\n")
    assert run(files, limits=Limits(max_error_rate=0.25)).rejected == 1
    with pytest.raises(RowsRejected, match=r"in_\*\.csv: 1 of 4 rows rejected"):
        run(files, limits=Limits(max_error_rate=0.2))


def test_no_file_is_written_over(tmp_path: Path) -> None:
    """Neither the first nor another one."""
    files = written(tmp_path, b"id\n1\n", b"id\n2\n")
    with pytest.raises(InvalidParams, match="written over"):
        preprocess(files, output_path=files[1].path, source_name=NAME)


def test_a_number_has_one_place_and_back() -> None:
    """Files without rows are never a row's place."""
    places = RowPlaces([SourceFile("a", "", 2), SourceFile("b", "", 0), SourceFile("c", "", 3)])
    found = [places.of(number) for number in range(1, 6)]
    assert found == [("a", 1), ("a", 2), ("c", 1), ("c", 2), ("c", 3)]
    assert [places.number(*each) for each in found] == [1, 2, 3, 4, 5]
