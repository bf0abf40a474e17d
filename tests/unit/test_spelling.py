"""How files spell numbers and moments: what is rewritten, what never is, what rejects show."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime

from jobu_core.config.datasets import CsvOptions
from jobu_core.errors import InvalidParams
from jobu_core.pipeline.moment_formats import MomentFormat
from jobu_core.pipeline.preprocess import preprocess
from jobu_core.pipeline.spelling import Spelling
from jobu_core.pipeline.types import type_named
from jobu_core.pipeline.validate.report import ValidationOptions
from jobu_core.pipeline.validate.rows import validate_file

if TYPE_CHECKING:
    from pathlib import Path

GERMAN = Spelling(decimal=",", thousands=".")
ENGLISH = Spelling(thousands=",")
COMMA = Spelling(decimal=",")
SWISS = Spelling(thousands="'")
FRENCH = Spelling(decimal=",", thousands="\u202f")


@pytest.mark.parametrize(
    ("spelling", "cell", "expected"),
    [
        (GERMAN, "1.234,50", "1234.50"),
        (GERMAN, "-1.234.567", "-1234567"),
        (GERMAN, "+12,5", "+12.5"),
        (GERMAN, "1234,5", "1234.5"),
        (GERMAN, "1,5e3", "1.5e3"),
        (GERMAN, " 1,5\t", " 1.5\t"),
        (GERMAN, "1.5", "1,5"),
        (GERMAN, "12.34.567", "12,34,567"),
        (GERMAN, "1234.567", "1234,567"),
        (GERMAN, "1,234.50", "1,234,50"),
        (GERMAN, "inf", "inf"),
        (COMMA, "1.234", "1,234"),
        (COMMA, "1,234", "1.234"),
        (COMMA, "7", "7"),
        (ENGLISH, "1,234.5", "1234.5"),
        (ENGLISH, "1,23", "1,23"),
        (ENGLISH, "1234.5", "1234.5"),
        (ENGLISH, ",234", ",234"),
        (SWISS, "1'234'567.05", "1234567.05"),
        (FRENCH, "1\u202f234,5", "1234.5"),
        (ENGLISH, "\u0661,\u0662\u0663\u0664", "\u0661,\u0662\u0663\u0664"),
        (GERMAN, "1,5\n", "1,5\n"),
    ],
)
def test_a_number_is_rewritten_or_left_for_pydantic_to_refuse(
    spelling: Spelling, cell: str, expected: str
) -> None:
    """A point never counts as a decimal point where the file has a comma."""
    found = spelling.respelled(pa.array([cell, None]), "number").to_pylist()
    assert found == [expected, None]
    assert spelling.number(cell).strip() == expected.strip()


@settings(deadline=None, max_examples=300)
@given(
    cells=st.lists(st.text("0123456789.,' +-eE\t\nx", max_size=12), max_size=20),
    spelling=st.sampled_from([GERMAN, ENGLISH, COMMA, SWISS, Spelling()]),
)
def test_one_cell_and_a_column_are_respelled_alike(cells: list[str], spelling: Spelling) -> None:
    """Filters ask for one, validation for many."""
    found = spelling.respelled(pa.array(cells, pa.string()), "number").to_pylist()
    assert [spelling.number(cell) for cell in cells] == found


@settings(deadline=None, max_examples=300)
@given(
    value=st.decimals(-(10**12), 10**12, places=3),
    thousands=st.sampled_from(["", ".", "'", " ", "\u00a0"]),
)
def test_every_number_comes_back_from_its_spelling(value: Decimal, thousands: str) -> None:
    """Grouped or not, the value is the one that was written."""
    spelling = Spelling(decimal=",", thousands=thousands)
    text = f"{value:,f}".replace(",", "|").replace(".", ",").replace("|", thousands)
    (found,) = spelling.respelled(pa.array([text]), "number").to_pylist()
    assert Decimal(found) == value


FORMATS = (
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M:%S",
    "%Y%m%d",
    "%d%m%Y",
    "%m/%d/%y",
    "%d %b %Y",
    "%d/%m/%Y %I:%M %p",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y/%m/%dT%H:%M%z",
    "100%% %Y-%m-%d",
)
FRAGMENTS = ("0", "1", "2", "9", "12", "28", "29", "30", "31", "2024", "2023", "0000", "Jan", "PM")
SIGNS = (".", "/", "-", " ", "  ", ":", "T", "+09:00", "Z", "100% ", "\u0661", "\n")


@settings(deadline=None, max_examples=500)
@given(
    text=st.sampled_from(FORMATS),
    cells=st.lists(
        st.one_of(
            st.lists(st.sampled_from(FRAGMENTS + SIGNS), max_size=9).map("".join),
            st.datetimes().map(lambda found: found.strftime("%d.%m.%Y")),
            st.datetimes().map(lambda found: found.strftime("%Y%m%d")),
            st.datetimes().map(lambda found: found.strftime("%d.%m.%Y %H:%M:%S")),
            st.datetimes().map(lambda found: found.strftime("%Y-%m-%d %H:%M:%S.%f")),
            st.from_regex(r"[0-3][0-9]\.[01][0-9]\.20[0-2][0-9]", fullmatch=True),
            st.from_regex(r"20[0-2][0-9][01][0-9][0-3][0-9]", fullmatch=True),
        ),
        max_size=12,
    ),
)
def test_a_format_reads_what_strptime_reads(text: str, cells: list[str]) -> None:
    """In bulk and one by one: the same cells fit, and are the same moments."""
    found = MomentFormat(text).iso(pa.array(cells, pa.string())).to_pylist()
    for cell, iso in zip(cells, found, strict=True):
        try:
            expected = dt.datetime.strptime(cell, text) if cell.isascii() else None  # noqa: DTZ007 - as written
        except ValueError:
            expected = None
        got = None if iso is None else dt.datetime.fromisoformat(_six_digits(iso))
        assert got == expected, cell


def _six_digits(iso: str) -> str:
    """Return a moment as this Python reads it: with all digits of its fraction."""
    return re.sub(r"\.([0-9]+)", lambda found: "." + found[1].ljust(6, "0"), iso)


def test_the_first_format_that_fits_decides() -> None:
    """The day's first number is the day, unless it cannot be."""
    spelling = Spelling(timestamp_formats=("%d/%m/%Y", "%m/%d/%Y"))
    cells = pa.array(["03/04/2024", "12/31/2024", "31/02/2024", "29/02/2023", "2024-01-02", None])
    assert spelling.respelled(cells, "moment").to_pylist() == [
        "2024-04-03",
        "2024-12-31",
        "31/02/2024",
        "29/02/2023",
        "2024-01-02",
        None,
    ]


def test_digits_of_other_alphabets_fit_no_format() -> None:
    """Python's strptime takes them; the grammar is ASCII, as for numbers."""
    cells = pa.array(["11.01.\u0662\u0660\u0662\u0664", "11.01.2024"])
    assert MomentFormat("%d.%m.%Y").iso(cells).to_pylist() == [None, "2024-01-11"]


def test_a_number_that_fits_no_format_is_no_moment() -> None:
    """Pydantic would take it for seconds since 1970; times of day have their own formats."""
    spelling = Spelling(timestamp_formats=("%Y%m%d", "%H%M"))
    cells = pa.array(["20240131", "20249999", "1e9", " 5 ", "1.5", "1030", "-20240131"])
    assert spelling.respelled(cells, "moment").to_pylist() == [
        *("2024-01-31", "?20249999", "?1e9", "? 5 ", "?1.5", "?1030", "?-20240131"),
    ]
    times = spelling.respelled(pa.array(["1030", "2575", "10:30"]), "time").to_pylist()
    assert times == ["10:30:00", "?2575", "10:30"]
    only_days = Spelling(timestamp_formats=("%Y%m%d",))
    assert only_days.kind_of(type_named("time")) is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"thousands": "."}, "decimal and csv.thousands are the same"),
        ({"decimal": ",", "thousands": ","}, "are the same"),
        ({"timestamp_formats": ("%d.%m",)}, "a day needs its year, month and day"),
        ({"timestamp_formats": ("%Q",)}, "%Q is not known here; there are %% %B"),
        ({"timestamp_formats": ("today",)}, "says neither a day nor an hour"),
        ({"timestamp_formats": ("%Y-%m-%d %I:%M",)}, "%I needs %p"),
        ({"timestamp_formats": ("%Y-%m-%d-%d",)}, "there twice"),
        ({"timestamp_formats": ("%Y년%m월%d일",)}, "must be ASCII"),
        ({"timestamp_formats": ("%Y-%m-%d%",)}, "% is not known"),
    ],
)
def test_a_spelling_that_says_nothing_is_the_params_fault(
    options: dict[str, Any], told: str
) -> None:
    """Before any file is opened."""
    with pytest.raises(InvalidParams, match=re.escape(told)):
        Spelling.of(CsvOptions(**options))


class Sale(BaseModel):
    """One of each kind that is respelled, and text that is not."""

    count: int
    amount: Annotated[Decimal, Field(max_digits=10, decimal_places=2, ge=10)]
    ratio: float | None
    day: dt.date
    at: NaiveDatetime
    note: str


OPTIONS = CsvOptions(
    delimiter=";",
    decimal=",",
    thousands=".",
    timestamp_formats=("%d.%m.%Y", "%d.%m.%Y %H:%M"),
)
HEADER = "count;amount;ratio;day;at;note\n"
GOOD = "1.000;1.234,50;0,5;31.01.2024;31.01.2024 10:30;1.234,50\n"


@pytest.mark.parametrize("way", ["csv", "parquet"])
def test_a_model_reads_the_files_spelling_and_rejects_show_its_cells(
    tmp_path: Path, way: Literal["csv", "parquet"]
) -> None:
    """Straight from the file, or from the Parquet of the stage before."""
    bad = (
        "1,5;1.234,50;;31.01.2024;31.01.2024 10:30;a\n"
        "1;9,99;;31.01.2024;31.01.2024 10:30;b\n"
        "2;1.5;1.234;32.01.2024;20240131;c\n"
        "3;1.234,50;;31.01.2024 10:30;31.01.2024;1.5\n"
    )
    source = tmp_path / "in.csv"
    source.write_text(HEADER + GOOD + bad, encoding="utf-8")
    if way == "parquet":
        source = preprocess(
            source, output_path=tmp_path / "in.parquet", source_name="in.csv", csv=OPTIONS
        ).path
        assert pq.read_table(source)["amount"].to_pylist()[0] == "1.234,50", "as the file has it"
    report = validate_file(
        source,
        model=Sale,
        output_path=tmp_path / "valid.parquet",
        source_name="in.csv",
        options=ValidationOptions(show_values=True),
        csv=OPTIONS if way == "csv" else None,
    )
    (row,) = pq.read_table(report.output_path).drop_columns(["__jobu_row"]).to_pylist()
    assert row == {
        "count": 1000,
        "amount": Decimal("1234.50"),
        "ratio": 0.5,
        "day": dt.date(2024, 1, 31),
        "at": dt.datetime(2024, 1, 31, 10, 30),  # noqa: DTZ001 - naive
        "note": "1.234,50",
    }
    assert report.rejects_path is not None
    rejects = pq.read_table(report.rejects_path).to_pylist()
    assert [(each["row_number"], each["field"], each["value"]) for each in rejects] == [
        (2, "count", "1,5"),
        (3, "amount", "9,99"),
        (4, "amount", "1.5"),
        (4, "day", "32.01.2024"),
        (4, "at", "20240131"),
        (5, "day", "31.01.2024 10:30"),
    ]
    assert '"amount": "9,99"' in rejects[1]["row"]


def test_ratio_with_a_point_is_refused_where_the_file_has_commas(tmp_path: Path) -> None:
    """Without thousands as well: 1.234 may be one thousand and something."""
    source = tmp_path / "in.csv"
    source.write_text("v\n1.234\n1,5\n", encoding="utf-8")

    class One(BaseModel):
        v: float

    report = validate_file(
        source,
        model=One,
        output_path=tmp_path / "out.parquet",
        source_name="in.csv",
        csv=CsvOptions(delimiter=";", decimal=","),
    )
    assert (report.valid, report.counts) == (1, {"v": {"float_parsing": 1}})


def test_an_alias_is_respelled_and_told_by_its_column(tmp_path: Path) -> None:
    """Rows that go to pydantic as a whole, too."""

    class Aliased(BaseModel):
        price: float = Field(alias="Preis", ge=1)

        def model_post_init(self, _context: object) -> None:
            pass

    source = tmp_path / "in.csv"
    source.write_text("Preis;x\n1,5;1\n0,5;2\n", encoding="utf-8")
    report = validate_file(
        source,
        model=Aliased,
        output_path=tmp_path / "out.parquet",
        source_name="in.csv",
        options=ValidationOptions(show_values=True),
        csv=CsvOptions(delimiter=";", decimal=","),
    )
    assert pq.read_table(report.output_path)["price"].to_pylist() == [1.5]
    assert report.rejects_path is not None
    (reject,) = pq.read_table(report.rejects_path).to_pylist()
    assert (reject["field"], reject["value"]) == ("Preis", "0,5")


def test_a_column_that_is_text_and_number_at_once_is_refused(tmp_path: Path) -> None:
    """One of the two would get the other's cells."""

    class Both(BaseModel):
        number: float = Field(alias="x")
        text: str = Field(alias="x")

    source = tmp_path / "in.csv"
    source.write_text("x\n1\n", encoding="utf-8")
    with pytest.raises(InvalidParams, match="column 'x' is read as different things"):
        validate_file(
            source,
            model=Both,
            output_path=tmp_path / "out.parquet",
            source_name="in.csv",
            csv=CsvOptions(delimiter=";", decimal=","),
        )


def test_filters_compare_numbers_as_the_file_spells_them(tmp_path: Path) -> None:
    """And refuse what is none there."""
    source = tmp_path / "in.csv"
    source.write_text(HEADER + GOOD + GOOD.replace("1.234,50;0", "1.234;0") + "1;2.5;;;;\n")
    report = preprocess(
        source,
        output_path=tmp_path / "out.parquet",
        source_name="in.csv",
        csv=OPTIONS,
        filters={"amount": {"gte": 1234.5}},
    )
    assert (report.rows_out, report.counts) == (1, {"amount": {"not_comparable": 1}})


def test_declared_types_read_the_files_spelling(tmp_path: Path) -> None:
    """Rejects show the cell; undeclared columns stay as they are."""
    source = tmp_path / "in.csv"
    source.write_text(HEADER + GOOD + "1;2.5;;30.02.2024;;\n", encoding="utf-8")
    report = preprocess(
        source,
        output_path=tmp_path / "out.parquet",
        source_name="in.csv",
        csv=OPTIONS,
        types={"count": "int", "amount": "decimal(10,2)", "day": "date", "at": "datetime"},
        show_values=True,
    )
    (row,) = pq.read_table(report.path).to_pylist()
    assert (row["count"], row["amount"], row["ratio"]) == (1000, Decimal("1234.50"), "0,5")
    assert row["at"] == dt.datetime(2024, 1, 31, 10, 30)  # noqa: DTZ001 - naive
    assert report.rejects_path is not None
    rejects = pq.read_table(report.rejects_path).to_pylist()
    assert [each["value"] for each in rejects] == ["2.5", "30.02.2024"]


def test_zones_of_a_format_are_kept(tmp_path: Path) -> None:
    """%z becomes the offset of ISO 8601."""

    class Moment(BaseModel):
        at: AwareDatetime

    source = tmp_path / "in.csv"
    source.write_text("at\n31.01.2024 10:30 +0900\n31.01.2024 10:30 Z\n", encoding="utf-8")
    report = validate_file(
        source,
        model=Moment,
        output_path=tmp_path / "out.parquet",
        source_name="in.csv",
        csv=CsvOptions(timestamp_formats=("%d.%m.%Y %H:%M %z",)),
    )
    found: list[Any] = pq.read_table(report.output_path)["at"].to_pylist()
    assert [each.astimezone(dt.UTC).hour for each in found] == [1, 10]
