"""CSV to Parquet: rename, types, filters, projection, rejects."""

from __future__ import annotations

import datetime as dt
import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobu_core.errors import FileError, InvalidParams, RowsRejected
from jobu_core.pipeline.parquet_writer import read_provenance
from jobu_core.pipeline.preprocess import PreprocessReport, preprocess
from jobu_core.pipeline.rejects import Limits
from tests.meter_support import Heard

if TYPE_CHECKING:
    from pathlib import Path

NAME = "/data/raw/in.csv"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write a small file with one of everything."""
    path = tmp_path / "in.csv"
    path.write_bytes(b'ID,Name ,price\n1,a,1.5\n2,"b\nc",\n3,d\n4,e,x\n5,,-2\n')
    return path


def run(source: Path, **params: Any) -> PreprocessReport:  # noqa: ANN401 - of preprocess
    """Preprocess into ``out.parquet`` beside the source."""
    output = source.with_name("out.parquet")
    return preprocess(source, output_path=output, source_name=NAME, **params)


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet."""
    return pq.read_table(path).to_pylist()


def rejects(report: PreprocessReport) -> list[tuple[Any, ...]]:
    """Return row number, field and rule of each reject."""
    assert report.rejects_path is not None
    return [
        (each["row_number"], each["field"], each["error_type"])
        for each in rows(report.rejects_path)
    ]


def test_rows_are_strings_with_their_numbers(source: Path) -> None:
    """Ragged rows become rejects; the rest goes on."""
    report = run(source)
    assert rows(report.path) == [
        {"__jobu_row": 1, "ID": "1", "Name": "a", "price": "1.5"},
        {"__jobu_row": 2, "ID": "2", "Name": "b\nc", "price": None},
        {"__jobu_row": 4, "ID": "4", "Name": "e", "price": "x"},
        {"__jobu_row": 5, "ID": "5", "Name": None, "price": "-2"},
    ]
    assert rejects(report) == [(3, None, "ragged_row")]
    assert (report.rows_in, report.rows_out, report.rejected) == (5, 4, 1)
    assert report.counts == {"": {"ragged_row": 1}}
    assert report.columns == (("ID", "str"), ("Name", "str"), ("price", "str"))


def test_origin_is_the_users_file(source: Path) -> None:
    """The hash of the input's bytes reaches the load through the footer."""
    report = run(source)
    origin = read_provenance(report.path)
    assert origin is not None
    assert origin.source_file == NAME
    assert origin.source_sha256 == report.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (origin.values, origin.rejected) == ("strings", 1)


def test_filters_use_new_names_and_run_before_projection(source: Path) -> None:
    """A column may decide about rows and not be kept; a bad number is a reject."""
    report = run(
        source, rename={"ID": "id"}, filters={"price": {"gt": 0}, "id": {"lt": 5}}, columns=["id"]
    )
    assert rows(report.path) == [{"__jobu_row": 1, "id": "1"}]
    assert rejects(report) == [(3, None, "ragged_row"), (4, "price", "not_comparable")]


def test_rejects_of_every_kind_come_in_file_order(tmp_path: Path) -> None:
    """A person reads them beside the file."""
    source = tmp_path / "in.csv"
    source.write_bytes(b"a,b\nx,1\n2\n3,y\n4\n5,5\n")
    report = run(source, types={"a": "int"}, filters={"b": {"gt": 0}})
    assert rejects(report) == [
        (1, "a", "int_parsing"),
        (2, None, "ragged_row"),
        (3, "b", "not_comparable"),
        (4, None, "ragged_row"),
    ]


def test_projection_sets_the_order(source: Path) -> None:
    """The columns come as they are asked for."""
    report = run(source, columns=["price", "ID"])
    assert [name for name, _ in report.columns] == ["price", "ID"]
    assert pq.read_schema(report.path).names == ["__jobu_row", "price", "ID"]


def test_declared_types_are_read_and_bad_cells_are_rejects(source: Path) -> None:
    """In pydantic's reading; undeclared columns stay text."""
    report = run(source, types={"ID": "int", "price": "decimal(5,2)"})
    assert rows(report.path) == [
        {"__jobu_row": 1, "ID": 1, "Name": "a", "price": Decimal("1.50")},
        {"__jobu_row": 2, "ID": 2, "Name": "b\nc", "price": None},
        {"__jobu_row": 5, "ID": 5, "Name": None, "price": Decimal("-2.00")},
    ]
    assert rejects(report) == [(3, None, "ragged_row"), (4, "price", "decimal_parsing")]
    origin = read_provenance(report.path)
    assert origin is not None
    assert origin.values == "typed"


def test_bad_cell_of_a_declared_type_is_a_reject_before_any_filter(source: Path) -> None:
    """A filter cannot hide it as if it were null."""
    report = run(source, types={"price": "float"}, filters={"price": {"gt": 0}})
    assert [row["__jobu_row"] for row in rows(report.path)] == [1]
    assert (4, "price", "float_parsing") in rejects(report)


def test_every_declared_type_reads_its_text(tmp_path: Path) -> None:
    """One cell each, and one that does not fit."""
    cells = {
        "int": ("+5", 5),
        "float": ("1e3", 1000.0),
        "bool": ("yes", True),
        "str": ("NA", "NA"),
        "bytes": ("ab", b"ab"),
        "date": ("2024-02-29", dt.date(2024, 2, 29)),
        "time": ("12:30", dt.time(12, 30)),
        "datetime": ("2024-01-01T00:00", dt.datetime(2024, 1, 1)),  # noqa: DTZ001 - a naive type
        "datetimetz": ("2024-01-01T09:00+09:00", dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
        "timedelta": ("P1D", dt.timedelta(days=1)),
        "uuid": ("0" * 31 + "1", "00000000-0000-0000-0000-000000000001"),
        "json": ("[1]", "[1]"),
        "decimal(5,2)": ("1.5", Decimal("1.50")),
    }
    source = tmp_path / "in.csv"
    for kind, (text, value) in cells.items():
        source.write_text(f"a,b\n{text},x\n,y\n")
        assert [row["a"] for row in rows(run(source, types={"a": kind}).path)] == [value, None]
        if kind not in {"str", "bytes"}:
            source.write_text("a,b\n?,x\n1\0,z\n,y\n")
            assert run(source, types={"a": kind}).rejected == 2


def test_unknown_names_come_in_one_error(source: Path) -> None:
    """Columns, filters and types, each with the nearest name."""
    with pytest.raises(FileError) as caught:
        run(source, columns=["id"], filters={"prise": {"gt": 1}}, types={"nam": "int"})
    text = str(caught.value)
    for part in ("no column 'id'", "'prise'", "did you mean 'price'?", "'nam'", NAME):
        assert part in text
    assert not source.with_name("out.parquet").exists()


@pytest.mark.parametrize(
    "params",
    [
        {"columns": []},
        {"columns": ["ID", "ID"]},
        {"types": {"ID": "number"}},
        {"filters": {"ID": {"above": 1}}},
        {"types": {"ID": "int"}, "filters": {"ID": {"eq": "1"}}},
    ],
)
def test_params_that_cannot_work_are_params_at_fault(source: Path, params: dict[str, Any]) -> None:
    """Not the file."""
    with pytest.raises(InvalidParams):
        run(source, **params)


def test_input_is_never_written_over(source: Path) -> None:
    """Whatever way it is spelled."""
    before = source.read_bytes()
    for output, rejected in ((source, None), (source.with_name("o.parquet"), source)):
        with pytest.raises(InvalidParams, match="written over"):
            preprocess(source, output_path=output, rejects_path=rejected, source_name=NAME)
    assert source.read_bytes() == before


def test_limits_leave_the_output_alone_and_the_rejects_written(source: Path) -> None:
    """The report travels with the error."""
    output = source.with_name("out.parquet")
    output.write_bytes(b"old")
    for limits, reason in (
        (Limits(strict=True), "strict"),
        (Limits(max_errors=0), "max_errors is 0"),
        (Limits(max_error_rate=0.1), "max_error_rate is 0.1"),
    ):
        with pytest.raises(RowsRejected, match=f"1 of 5 rows rejected, {reason}") as caught:
            run(source, limits=limits)
        assert isinstance(caught.value.report, PreprocessReport)
        assert rejects(caught.value.report) == [(3, None, "ragged_row")]
        assert output.read_bytes() == b"old"
    assert run(source, limits=Limits(max_errors=1, max_error_rate=0.2)).rejected == 1


def test_every_row_rejected_always_fails(tmp_path: Path) -> None:
    """A wrong delimiter is not a file of no rows."""
    source = tmp_path / "in.csv"
    source.write_bytes(b"a;b,c\n1;2\n3;4\n")
    with pytest.raises(RowsRejected, match="every row was rejected"):
        run(source, limits=Limits(max_errors=99, max_error_rate=1.0))


def test_filter_may_drop_every_row(source: Path) -> None:
    """That is what was asked for."""
    report = run(source, filters={"ID": {"eq": "none"}})
    assert (report.rows_out, report.rejected) == (0, 1)


def test_header_only_gives_a_parquet_of_no_rows(tmp_path: Path) -> None:
    """With its columns, and without rejects."""
    source = tmp_path / "in.csv"
    source.write_bytes(b"a,b\n")
    report = run(source, types={"a": "int"})
    assert report.rows_in == report.rows_out == 0
    assert report.rejects_path is None
    assert pq.read_schema(report.path).field("a").type == pa.int64()


def test_rejects_of_an_earlier_run_do_not_stay(source: Path) -> None:
    """They would describe another file."""
    first = run(source)
    assert first.rejects_path is not None
    source.write_bytes(b"a\n1\n")
    assert run(source).rejects_path is None
    assert not first.rejects_path.exists()


def test_values_are_told_only_if_asked(source: Path) -> None:
    """Rejects hold cells and rows with ``show_values`` alone."""
    hidden = run(source, types={"price": "float"}).rejects_path
    assert hidden is not None
    assert {(each["value"], each["row"]) for each in rows(hidden)} == {(None, None)}
    shown = run(source, types={"price": "float"}, show_values=True).rejects_path
    assert shown is not None
    assert [(each["value"], each["row"]) for each in rows(shown)] == [
        ("3,d", "3,d"),
        ("x", '{"ID": "4", "Name": "e", "price": "x"}'),
    ]


def test_same_input_gives_the_same_bytes(source: Path) -> None:
    """A second attempt's output can stand for the first's."""
    first = run(source).path.read_bytes()
    assert run(source).path.read_bytes() == first


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Arrow's peak stays far below the size of the file."""
    source = tmp_path / "in.csv"
    with source.open("wb") as file:
        file.write(b"id,text\n")
        for at in range(600):
            line = b"x" * 190
            file.write(b"".join(b"%d,%s\n" % (at * 1000 + row, line) for row in range(1000)))
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    peak = 0

    class Looking(Heard):
        def at(self, rows: int, read_bytes: int | None = None) -> None:
            super().at(rows, read_bytes)
            nonlocal peak
            peak = max(peak, pool.bytes_allocated() - before)

    meter = Looking()
    run(source, meter=meter)
    size = source.stat().st_size
    assert meter.started == [("preprocess", None, size)]
    assert meter.counts[-1] == (600_000, size)
    assert len(meter.counts) < 100
    assert source.stat().st_size > 110_000_000
    assert peak < 65_000_000
