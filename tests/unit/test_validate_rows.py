"""Validating files: verdicts, values, nulls, rejects, limits."""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    field_validator,
    model_validator,
)

from jobu_core.errors import (
    ConfigError,
    FileError,
    InvalidParams,
    NotAvailableYet,
    RowsRejected,
    SchemaMismatch,
)
from jobu_core.pipeline.parquet_writer import read_provenance
from jobu_core.pipeline.preprocess import preprocess
from jobu_core.pipeline.rejects import Limits
from jobu_core.pipeline.validate.report import ValidationOptions, ValidationReport
from jobu_core.pipeline.validate.rows import validate_file, validate_records

if TYPE_CHECKING:
    from pathlib import Path

NAME = "/data/raw/in.csv"


class Row(BaseModel):
    """The model of most tests."""

    id: int
    name: str = Field(min_length=1, max_length=100)
    value: float = Field(ge=0)


def of_csv(
    folder: Path,
    content: str,
    model: type[BaseModel] = Row,
    *,
    through_parquet: bool = False,
    **options: Any,  # noqa: ANN401 - of ValidationOptions
) -> ValidationReport:
    """Validate a CSV text, directly or after preprocess."""
    source = folder / "in.csv"
    source.write_text(content, encoding="utf-8", newline="")
    if through_parquet:
        source = preprocess(source, output_path=folder / "in.parquet", source_name=NAME).path
    return validate_file(
        source,
        model=model,
        output_path=folder / "valid.parquet",
        source_name=NAME,
        options=ValidationOptions(**options),
    )


def valid(report: ValidationReport) -> list[dict[str, Any]]:
    """Return the valid rows."""
    return pq.read_table(report.output_path).to_pylist()


def values(report: ValidationReport, field: str) -> list[Any]:
    """Return one field of the valid rows."""
    return [row[field] for row in valid(report)]


def rejects(report: ValidationReport) -> list[dict[str, Any]]:
    """Return the lines of the rejects."""
    assert report.rejects_path is not None
    return pq.read_table(report.rejects_path).to_pylist()


def told(report: ValidationReport) -> list[tuple[int, str | None, str]]:
    """Return row number, field and rule of each reject."""
    return [(each["row_number"], each["field"], each["error_type"]) for each in rejects(report)]


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


class Nulls(BaseModel):
    """One field of each kind that a null can meet."""

    id: int
    required: int | None
    optional: int | None = 5
    plain: int = 7


@pytest.mark.parametrize(
    ("null_means", "expected"),
    [(None, (None, None, 7)), ("missing", (None, 5, 7))],
)
def test_null_means_none_where_the_field_takes_it_else_the_default(
    tmp_path: Path, null_means: Literal["missing"] | None, expected: tuple[int | None, ...]
) -> None:
    """A required Optional has nothing but None to become."""
    report = of_csv(tmp_path, "id,required,optional,plain\n1,,,\n", Nulls, null_means=null_means)
    (row,) = valid(report)
    assert (row["required"], row["optional"], row["plain"]) == expected


def test_null_can_be_made_to_mean_null_everywhere(tmp_path: Path) -> None:
    """Then a field with a default rejects it."""
    text = "id,required,optional,plain\n1,,,\n2,1,1,1\n"
    report = of_csv(tmp_path, text, Nulls, null_means="null")
    assert told(report) == [(1, "plain", "int_type")]


def test_null_in_a_required_field_is_a_reject(tmp_path: Path) -> None:
    """With pydantic's own rule for None, not as a column that is missing."""
    report = of_csv(tmp_path, "id,name,value\n,a,1\n2,b,1\n")
    assert told(report) == [(1, "id", "int_type")]


def test_column_that_the_file_has_not_takes_the_default(tmp_path: Path) -> None:
    """Null cells and absent columns are two things."""
    report = of_csv(tmp_path, "id,required\n1,\n", Nulls)
    assert [values(report, name) for name in ("optional", "plain")] == [[5], [7]]


def test_empty_string_is_not_null(tmp_path: Path) -> None:
    """A quoted empty cell reaches the model as text."""

    class Note(BaseModel):
        id: int
        note: str | None = "none"

    report = of_csv(tmp_path, 'id,note\n1,""\n2,\n3,NA\n', Note)
    assert values(report, "note") == ["", None, "NA"]


def test_validators_see_a_null_as_none(tmp_path: Path) -> None:
    """Field validators run on it, and model validators run once."""
    seen: list[object] = []

    class Watched(BaseModel):
        id: int
        price: float | None = 1.0

        @field_validator("price", mode="before")
        @classmethod
        def _zero(cls, given: object) -> object:
            seen.append(given)
            return 0.0 if given is None else given

        @model_validator(mode="after")
        def _double(self) -> Watched:
            self.id *= 2
            return self

    report = of_csv(tmp_path, "id,price\n1,\n2,3\n", Watched)
    assert seen == [None, "3"]
    assert (values(report, "id"), values(report, "price")) == ([2, 4], [0.0, 3.0])


class Kinds(BaseModel):
    """One field of each type that a column has."""

    i: int
    f: float
    b: bool
    s: str
    d: Decimal = Field(max_digits=6, decimal_places=2)
    day: dt.date
    at: dt.datetime
    aware: AwareDatetime
    span: dt.timedelta
    u: UUID
    color: Literal["red", "blue"]
    doc: Json[dict[str, list[int]]]
    maybe: int | None = None


KINDS = (
    "i,f,b,s,d,day,at,aware,span,u,color,doc,maybe\n"
    " 5.0 ,1e3,yes,NA,1.500,2024-02-29,2024-01-01T10:00:00,2024-01-01T09:00:00+09:00,P1D,"
    '00000000000000000000000000000001,red,"{""a"": [1, 2]}",\n'
)


def test_every_type_is_rewritten_to_its_column(tmp_path: Path) -> None:
    """The output holds what the model made, not what the file said."""
    (row,) = valid(of_csv(tmp_path, KINDS, Kinds))
    assert row == {
        "__jobu_row": 1,
        "i": 5,
        "f": 1000.0,
        "b": True,
        "s": "NA",
        "d": Decimal("1.50"),
        "day": dt.date(2024, 2, 29),
        "at": dt.datetime(2024, 1, 1, 10),  # noqa: DTZ001 - the column is naive
        "aware": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        "span": dt.timedelta(days=1),
        "u": "00000000-0000-0000-0000-000000000001",
        "color": "red",
        "doc": '{"a":[1,2]}',
        "maybe": None,
    }


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

    assert values(check(1_000), "at") == [dt.datetime(1970, 1, 1, microsecond=1)]  # noqa: DTZ001
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


def test_aliases_are_the_names_of_the_file(tmp_path: Path) -> None:
    """The output has the fields' names."""

    class Aliased(BaseModel):
        id: int = Field(validation_alias=AliasChoices("ID", "No"))
        name: str | None = Field(alias="이름")

    report = of_csv(tmp_path, "No,이름\n1,\n2,홍\n", Aliased)
    assert (values(report, "id"), values(report, "name")) == ([1, 2], [None, "홍"])


def test_missing_and_forbidden_columns_are_one_error_before_any_row(tmp_path: Path) -> None:
    """A million rejects would say no more."""

    class Closed(BaseModel):
        model_config = ConfigDict(extra="forbid")

        id: int
        price: float
        note: str = ""

    with pytest.raises(FileError) as caught:
        of_csv(tmp_path, "id,prise,x\n1,2,3\n", Closed)
    text = str(caught.value)
    for part in (NAME, "no column 'price'", "did you mean 'prise'?", "'x' is not of the model"):
        assert part in text


def test_columns_that_the_model_does_not_know_are_left_out(tmp_path: Path) -> None:
    """As pydantic ignores them."""
    report = of_csv(tmp_path, "id,name,value,more\n1,a,1,z\n")
    assert report.columns == (("id", "int"), ("name", "str"), ("value", "float"))


def test_model_that_completes_rows_itself_needs_no_column(tmp_path: Path) -> None:
    """Whether a field is missing only the row can tell then."""

    class Completing(BaseModel):
        id: int
        name: str

        @model_validator(mode="before")
        @classmethod
        def _name(cls, row: dict[str, Any]) -> dict[str, Any]:
            return {**row, "name": "made"}

    assert values(of_csv(tmp_path, "id\n1\n", Completing), "name") == ["made"]


class Tree(BaseModel):
    """A model that refers to itself."""

    id: int
    size: int | None = 3
    children: Json[list[Tree]] = []


def test_recursive_model_is_validated_with_its_nulls(tmp_path: Path) -> None:
    """Its core schema is a reference to a definition."""
    text = 'id,size,children\n1,,"[{""id"": 2}]"\n'
    (row,) = valid(of_csv(tmp_path, text, Tree))
    assert row["size"] is None
    assert row["children"] == '[{"id":2,"size":3,"children":[]}]'


def test_models_that_cannot_hold_rows_are_refused_at_once(tmp_path: Path) -> None:
    """By name, before the first row."""

    class Own(BaseModel):
        id: int

        def __init__(self, **given: Any) -> None:  # noqa: ANN401 - pydantic's signature
            super().__init__(**given)

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")

        id: int

    class Vague(BaseModel):
        id: int | str

    class Broken(BaseModel):
        id: Nowhere  # type: ignore[name-defined] # noqa: F821 - that is the point

    for model, error in (
        (Own, InvalidParams),
        (Open, NotAvailableYet),
        (Vague, SchemaMismatch),
        (Broken, ConfigError),
    ):
        with pytest.raises(error, match=model.__name__):
            of_csv(tmp_path, "id\n1\n", model)
        assert not (tmp_path / "valid.parquet").exists()


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


def test_validator_that_lies_about_its_type_makes_rejects(tmp_path: Path) -> None:
    """The column holds what the annotation says, or nothing."""

    class Size(enum.Enum):
        SMALL = "s"

    class Lying(BaseModel):
        id: int
        size: Size

        @field_validator("id")
        @classmethod
        def _text(cls, given: int) -> Any:  # noqa: ANN401 - that is the point
            return str(given) if given == 1 else given

    report = of_csv(tmp_path, "id,size\n1,s\n2,s\n", Lying)
    assert told(report) == [(1, "id", "output_type")]
    assert values(report, "size") == ["s"]


def test_checkpoint_hears_of_every_batch(tmp_path: Path) -> None:
    """So that the lease is watched while a long file is read."""
    source = tmp_path / "in.csv"
    source.write_text("id,name,value\n" + "1,a,1\n" * 20_000)
    heard: list[int] = []
    validate_file(
        source,
        model=Row,
        output_path=tmp_path / "out.parquet",
        source_name=NAME,
        checkpoint=heard.append,
    )
    assert heard == [8192, 16384, 20000]
