"""Validating files: verdicts, numbers, origins, limits, secrecy."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import (
    BaseModel,
    field_validator,
)

from jobu_core.errors import (
    FileError,
    RowsRejected,
)
from jobu_core.pipeline.parquet_writer import read_provenance
from jobu_core.pipeline.rejects import Limits
from jobu_core.pipeline.validate.report import ValidationOptions, ValidationReport
from jobu_core.pipeline.validate.rows import validate_file, validate_records
from tests.meter_support import Heard
from tests.validate_support import NAME, Row, of_csv, rejects, told, valid, values

if TYPE_CHECKING:
    from pathlib import Path

MESSY = 'id,name,value\n1,a,2.5\n2,"b\nc",0\n3,d\n4,e,-1\nx,,1\n6,f,1e400\n7,"",0x1F\n'


@pytest.mark.parametrize("through_parquet", [False, True])
def test_valid_rows_keep_order_and_others_are_explained(
    tmp_path: Path, through_parquet: bool
) -> None:
    """The row numbers are those of the CSV, with or without a Parquet between."""
    report = of_csv(tmp_path, MESSY, through_parquet=through_parquet)
    assert valid(report) == [
        {"__jobu_row": 1, "id": 1, "name": "a", "value": 2.5},
        {"__jobu_row": 2, "id": 2, "name": "b\nc", "value": 0.0},
        {"__jobu_row": 6, "id": 6, "name": "f", "value": float("inf")},
    ]
    expected = [
        (3, None, "ragged_row"),
        (4, "value", "greater_than_equal"),
        (5, "id", "int_parsing"),
        (5, "name", "string_type"),
        (7, "name", "string_too_short"),
        (7, "value", "float_parsing"),
    ]
    assert told(report) == (expected[1:] if through_parquet else expected)
    assert report.rejected + report.rejected_before == 4
    assert report.rows + report.rejected_before == 7
    assert report.counts["value"] == {"greater_than_equal": 1, "float_parsing": 1}
    assert report.columns == (("id", "int"), ("name", "str"), ("value", "float"))
    assert report.source_file == NAME


@pytest.mark.parametrize("through_parquet", [False, True])
def test_origin_survives_both_stages(tmp_path: Path, through_parquet: bool) -> None:
    """The load's manifest sees the hash of the user's bytes and all rejects."""
    report = of_csv(tmp_path, MESSY, through_parquet=through_parquet)
    origin = read_provenance(report.output_path)
    assert origin is not None
    assert origin.source_sha256 == hashlib.sha256(MESSY.encode()).hexdigest() == report.sha256
    assert (origin.source_file, origin.rejected, origin.values) == (NAME, 4, "typed")


def test_typed_parquet_is_validated_as_it_is(tmp_path: Path) -> None:
    """The output of a validation passes again, where its fields are what they were."""
    first = of_csv(tmp_path, "id,name,value\n1,a,1\n")
    again = validate_file(
        first.output_path,
        model=Row,
        output_path=tmp_path / "again.parquet",
        source_name="/data/valid.parquet",
        options=ValidationOptions(coercion="strict"),
    )
    assert valid(again) == valid(first)
    assert again.source_file == NAME


def test_foreign_parquet_counts_its_rows_and_hashes_itself(tmp_path: Path) -> None:
    """There is no CSV behind it; null is None, by pydantic's plain rule."""
    source = tmp_path / "in.parquet"
    table = pa.table({"id": ["1", "x", None], "name": ["a", "b", "c"], "value": [1, 2, 3]})
    pq.write_table(table, source)
    report = validate_file(
        source, model=Row, output_path=tmp_path / "out.parquet", source_name="/data/in.parquet"
    )
    assert values(report, "id") == [1]
    assert told(report) == [(2, "id", "int_parsing"), (3, "id", "int_type")]
    assert report.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


def test_nanoseconds_are_refused_unless_they_are_zero(tmp_path: Path) -> None:
    """Python would cut them in silence."""

    class Moment(BaseModel):
        at: dt.datetime

    def check(nanoseconds: int) -> ValidationReport:
        source = tmp_path / "in.parquet"
        pq.write_table(pa.table({"at": pa.array([nanoseconds], pa.timestamp("ns"))}), source)
        return validate_file(
            source, model=Moment, output_path=tmp_path / "out.parquet", source_name="/data/x"
        )

    assert values(check(1_000), "at") == [dt.datetime(1970, 1, 1, microsecond=1)]  # noqa: DTZ001 - naive is what is tested
    with pytest.raises(FileError, match="'at' holds nanoseconds"):
        check(1_001)


def test_records_of_the_params_are_numbered_by_their_place(tmp_path: Path) -> None:
    """What is no record at all is a reject of the row."""
    report = validate_records(
        [{"id": 1, "name": "a", "value": 1}, "nonsense", {"id": "2", "name": "b", "value": -1}],
        model=Row,
        output_path=tmp_path / "out.parquet",
        source_name="data",
    )
    assert values(report, "__jobu_row") == [1]
    assert told(report) == [(2, None, "model_type"), (3, "value", "greater_than_equal")]


def test_strict_coercion_is_pydantics_strict_mode(tmp_path: Path) -> None:
    """Text still becomes a number, as in JSON keys; a float no longer an int."""
    text = "id,name,value\n1,a,1\n5.0,b,1\n"
    assert of_csv(tmp_path, text).rejected == 0
    records: list[object] = [
        {"id": 1, "name": "a", "value": 1},
        {"id": "1", "name": "a", "value": 1},
    ]
    report = validate_records(
        records,
        model=Row,
        output_path=tmp_path / "out.parquet",
        source_name="data",
        options=ValidationOptions(coercion="strict"),
    )
    assert told(report) == [(2, "id", "int_type")]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("id,name,value\n9223372036854775808,a,1\n1,a,1\n", "out_of_storage_range"),
        ("id,name,value\n1,a\0b,1\n1,a,1\n", "nul_character"),
    ],
)
def test_valid_values_that_cannot_be_stored_are_rejects(
    tmp_path: Path, text: str, rule: str
) -> None:
    """Pydantic takes them; the column does not."""
    report = of_csv(tmp_path, text)
    assert [each[2] for each in told(report)] == [rule]
    assert report.valid == 1


def test_limits_count_the_rejects_of_earlier_stages(tmp_path: Path) -> None:
    """A ragged row is one of the file's errors, wherever it was found."""
    text = "id,name,value\n1,a,1\n2\n3,c,x\n4,d,1\n"
    for through_parquet in (False, True):
        with pytest.raises(RowsRejected, match="2 of 4 rows rejected, max_errors is 1") as caught:
            of_csv(tmp_path, text, through_parquet=through_parquet, limits=Limits(max_errors=1))
        report = caught.value.report
        assert isinstance(report, ValidationReport)
        assert (3, "value", "float_parsing") in told(report)
        assert not report.output_path.exists()
        assert (
            of_csv(
                tmp_path,
                text,
                through_parquet=through_parquet,
                limits=Limits(max_errors=2, max_error_rate=0.5),
            ).valid
            == 2
        )
        (tmp_path / "valid.parquet").unlink()


def test_every_row_rejected_always_fails(tmp_path: Path) -> None:
    """Whatever the limits allow; a file of no rows is no failure."""
    with pytest.raises(RowsRejected, match="every row was rejected"):
        of_csv(tmp_path, "id,name,value\nx,a,1\n", limits=Limits(max_errors=9, max_error_rate=1.0))
    assert of_csv(tmp_path, "id,name,value\n").rows == 0


def test_values_are_hidden_unless_asked_for(tmp_path: Path) -> None:
    """Neither in the rejects nor in the error's text; messages stay pydantic's."""

    class Secretive(BaseModel):
        id: UUID
        name: str

        @field_validator("name")
        @classmethod
        def _refuse(cls, given: str) -> str:
            raise ValueError(f"{given} is not a name")

    text = "id,name\nhunter2,swordfish\n"
    with pytest.raises(RowsRejected) as caught:
        of_csv(tmp_path, text, Secretive)
    report = caught.value.report
    assert isinstance(report, ValidationReport)
    written = str(caught.value) + str(rejects(report)) + str(report.counts)
    for part in ("hunter2", "swordfish", "hunter", "`h`"):
        assert part not in written
    assert [each["message"] for each in rejects(report)] == [
        "Input should be a valid UUID, …",
        "Value error, …",
    ]
    with pytest.raises(RowsRejected) as caught:
        of_csv(tmp_path, text, Secretive, show_values=True)
    assert isinstance(caught.value.report, ValidationReport)
    shown = rejects(caught.value.report)
    assert shown[1]["message"] == "Value error, swordfish is not a name"
    assert shown[1]["value"] == "swordfish"
    assert shown[1]["row"] == '{"id": "hunter2", "name": "swordfish"}'


def test_the_meter_hears_of_every_batch(tmp_path: Path) -> None:
    """Once per batch, and from the footer how many rows there are."""
    source = tmp_path / "in.parquet"
    column = ["1"] * 150_000
    pq.write_table(pa.table({"id": column, "name": column, "value": column}), source)
    meter = Heard()
    validate_file(
        source,
        model=Row,
        output_path=tmp_path / "out.parquet",
        source_name=NAME,
        meter=meter,
    )
    assert meter.counts == [(65_536, None), (131_072, None), (150_000, None)]
    assert meter.started == [("validate", 150_000, source.stat().st_size)]


def test_the_meter_of_a_csv_hears_bytes(tmp_path: Path) -> None:
    """Read directly, a CSV has no total of rows, but a size."""
    meter = Heard()
    text = "id,name,value\n" + "1,a,1\n" * 1000
    source = tmp_path / "in.csv"
    source.write_text(text)
    validate_file(
        source, model=Row, output_path=tmp_path / "out.parquet", source_name=NAME, meter=meter
    )
    assert meter.started == [("validate", None, len(text))]
    assert meter.counts[-1] == (1000, len(text))
