"""A file to correct: whatever a message says, the file can be written and read again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from jobu_core.config.datasets import CsvOptions
from jobu_core.pipeline.corrections import Rejected, export_rejected, read_corrections
from jobu_core.pipeline.sources import InputFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "csv",
    [
        CsvOptions(encoding="cp949"),
        CsvOptions(encoding="utf-16"),
        CsvOptions(quote=""),
        CsvOptions(quote="'", delimiter="\t"),
    ],
)
def test_a_message_gives_way_to_how_the_file_is_written(tmp_path: Path, csv: CsvOptions) -> None:
    """A validator's text may hold letters, delimiters, quotes and newlines of any kind."""
    data = csv.delimiter.join(["id", "name"]) + "\n" + csv.delimiter.join(["1", "가"]) + "\n"
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(data.encode(csv.encoding))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    rejected = Rejected("in.csv", digest, {1: f"☃ no{csv.delimiter} 'not'\n\"so\""})
    files = (InputFile(source, "in.csv"),)
    assert export_rejected(files, rejected, csv=csv, output=output) == 1
    found = read_corrections(output, rejected, name="out.csv", csv=csv)
    assert (found.columns, found.rows) == (("id", "name"), {1: ("1", "가")})
