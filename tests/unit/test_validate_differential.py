"""Random rows: the verdicts and values of a file equal plain pydantic's, row by row."""

from __future__ import annotations

import csv
import datetime as dt
import enum
import io
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from jobu_core.errors import RowsRejected
from jobu_core.pipeline.preprocess import preprocess
from jobu_core.pipeline.validate.report import ValidationOptions
from jobu_core.pipeline.validate.rows import validate_file

if TYPE_CHECKING:
    from jobu_core.pipeline.validate.report import ValidationReport

NAME = "/data/raw/in.csv"


class Color(enum.StrEnum):
    """An enum."""

    RED = "red"
    BLUE = "blue"


class Record(BaseModel):
    """Every scalar, with bounds; no field that a null could make ambiguous."""

    i: int
    bounded: Annotated[int, Field(ge=-5, lt=100, multiple_of=5)] = 5
    f: float = Field(default=0.5, allow_inf_nan=False)
    b: bool = False
    s: Annotated[str, Field(min_length=1, max_length=5)] = "s"
    code: Annotated[str, Field(pattern=r"^[A-Z]\d+$")] = "A1"
    d: Annotated[Decimal, Field(max_digits=6, decimal_places=2)] = Decimal(0)
    day: dt.date = dt.date(2024, 1, 1)
    aware: AwareDatetime = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    color: Color = Color.RED


INTS = ["0", "5", "-5", "100", "+5", "5.0", "5.5", "1_000", "1e3", " 7 ", "0x1F", "", "-0"]
LARGE = ["9223372036854775807", "9223372036854775808", "-9223372036854775809", "9" * 5000]
FLOATS = ["1.5", "nan", "inf", "1e400", ".5", "5.", "1,5", "-0.0", "1e-320"]
TIMES = [
    "2024-02-29",
    "2023-02-29",
    "2024-01-01T10",
    "2024-01-01T10:00Z",
    "2024-01-01 10:00:00.123456789+09:00",
    "0001-01-01T00:00:00+09:00",
    "1700000000",
    "9999-12-31T23:59:59-01:00",
]
WORDS = ["yes", "TRUE", "t", "off", "red", "RED", "blue", "A1", "A\u0661", "가나다라마", "a\0b"]
DECIMALS = ["1.50", "1.500", "1.005", "9999.99", "10000", "1E+2", "1e-3", "NaN"]

texts = st.sampled_from(INTS + LARGE + FLOATS + TIMES + WORDS + DECIMALS) | st.text(
    st.characters(codec="utf-8", exclude_characters="\r"), max_size=6
)
rows = st.lists(
    st.fixed_dictionaries(
        {"i": st.integers(-9, 9).map(str) | texts},
        optional={name: st.none() | texts for name in Record.model_fields if name != "i"},
    ),
    min_size=1,
    max_size=20,
)


@settings(deadline=None, max_examples=150)
@given(rows=rows, strict=st.booleans(), through_parquet=st.booleans())
def test_file_and_plain_pydantic_agree(
    rows: list[dict[str, str | None]], strict: bool, through_parquet: bool
) -> None:
    """An absent cell is a null, and a null in a field with a default is the default."""
    expected: dict[int, dict[str, Any]] = {}
    errors: dict[int, set[tuple[str | None, str]]] = {}
    for number, row in enumerate(rows, start=1):
        cells = {name: cell for name, cell in row.items() if cell is not None}
        try:
            record = Record.model_validate_strings(cells, strict=strict or None)
        except ValidationError as error:
            errors[number] = {(str(each["loc"][0]), each["type"]) for each in error.errors()}
            continue
        unstorable = _unstorable(record)
        if unstorable:
            errors[number] = unstorable
        else:
            expected[number] = _stored(record)
    found, rejected = _through_a_file(rows, strict=strict, through_parquet=through_parquet)
    assert rejected == errors
    assert found == expected


def _unstorable(record: Record) -> set[tuple[str | None, str]]:
    """Return what no column could hold although pydantic takes it."""
    found: set[tuple[str | None, str]] = set()
    if not -(2**63) <= record.i < 2**63:
        found.add(("i", "out_of_storage_range"))
    if "\0" in record.s:
        found.add(("s", "nul_character"))
    try:
        record.aware.astimezone(dt.UTC)
    except OverflowError:
        found.add(("aware", "out_of_storage_range"))
    return found


def _stored(record: Record) -> dict[str, Any]:
    return {**dict(record), "color": record.color.value}


def _through_a_file(
    rows: list[dict[str, str | None]], *, strict: bool, through_parquet: bool
) -> tuple[dict[int, dict[str, Any]], dict[int, set[tuple[str | None, str]]]]:
    """Write the rows as a CSV, validate it, and return valid rows and rules by number."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in.csv"
        source.write_bytes(_csv(rows))
        if through_parquet:
            source = preprocess(source, output_path=folder / "in.parquet", source_name=NAME).path
        options = ValidationOptions(coercion="strict" if strict else "lax")
        try:
            report = validate_file(
                source,
                model=Record,
                output_path=folder / "out.parquet",
                source_name=NAME,
                options=options,
            )
            table = pq.read_table(report.output_path).to_pylist()
        except RowsRejected as error:
            report, table = cast("ValidationReport", error.report), []
        rejected: dict[int, set[tuple[str | None, str]]] = {}
        if report.rejects_path is not None:
            for each in pq.read_table(report.rejects_path).to_pylist():
                found = rejected.setdefault(each["row_number"], set())
                found.add((each["field"], each["error_type"]))
    return {row.pop("__jobu_row"): row for row in table}, rejected


def _csv(rows: list[dict[str, str | None]]) -> bytes:
    """Quote every cell but null."""
    written = io.StringIO()
    names = list(Record.model_fields)
    csv.writer(written, lineterminator="\n").writerow(names)
    for row in rows:
        cells = (row.get(name) for name in names)
        quoted = ("" if cell is None else '"' + cell.replace('"', '""') + '"' for cell in cells)
        written.write(",".join(quoted) + "\n")
    return written.getvalue().encode()
