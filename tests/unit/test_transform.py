"""A transform over rows: exact values in and out, row numbers that survive, clear failures."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from jobu_core.errors import (
    InvalidParams,
    Outage,
    SchemaMismatch,
    TransformFailed,
)
from jobu_core.pipeline.csv_files import open_csv_files
from jobu_core.pipeline.parquet_writer import read_provenance
from jobu_core.pipeline.preprocess import preprocess
from jobu_core.pipeline.processing import Processing, Wishes
from jobu_core.pipeline.sources import InputFile
from jobu_core.pipeline.transform import Transform
from jobu_core.pipeline.validate.rows import validate_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobu_core.pipeline.preprocess import PreprocessReport
    from jobu_core.pipeline.transform import Scope

BIG = 2**53 + 1
TEXT = f"id,name,n\n{BIG},a,1\n,b,2\n3,,3\n4,d,4\n"


def run(
    folder: Path,
    function: Callable[[pd.DataFrame], Any],
    text: str = TEXT,
    **params: Any,  # noqa: ANN401 - of preprocess
) -> PreprocessReport:
    """Preprocess ``text`` with a transform called ``clean``."""
    source = folder / "in.csv"
    source.write_text(text, encoding="utf-8")
    scope = params.pop("scope", "chunk")
    return preprocess(
        source,
        output_path=folder / "out.parquet",
        source_name="/data/in.csv",
        transform=Transform("clean", function, scope),
        **params,
    )


def rows(report: PreprocessReport) -> list[dict[str, Any]]:
    """Return what was written."""
    found: list[dict[str, Any]] = pq.read_table(report.path).to_pylist()
    return found


def test_integers_beside_nulls_stay_exact(tmp_path: Path) -> None:
    """In pandas' own types they became floats and lost their last digit."""

    def clean(frame: pd.DataFrame) -> pd.DataFrame:
        assert all(isinstance(each, pd.ArrowDtype) for each in frame.dtypes)
        return frame.assign(next=frame["id"] + 1)

    report = run(tmp_path, clean, types={"id": "int"})
    assert [row["id"] for row in rows(report)] == [BIG, None, 3, 4]
    assert [row["next"] for row in rows(report)] == [BIG + 1, None, 4, 5]
    assert report.columns == (("id", "int"), ("name", "str"), ("n", "str"), ("next", "int"))


def test_null_and_the_empty_string_stay_apart(tmp_path: Path) -> None:
    """As the file has them."""
    report = run(tmp_path, lambda frame: frame, 'a,b\n,""\n"",\n')
    assert rows(report) == [
        {"__jobu_row": 1, "a": None, "b": ""},
        {"__jobu_row": 2, "a": "", "b": None},
    ]


def test_rows_keep_their_numbers_whatever_becomes_of_them(tmp_path: Path) -> None:
    """Filtered, sorted, doubled; by the index or by a column of that name."""
    filtered = run(tmp_path, lambda frame: frame[frame["name"] == "d"])
    assert [row["__jobu_row"] for row in rows(filtered)] == [4]
    assert filtered.rejected == 0
    turned = run(tmp_path, lambda frame: frame.sort_values("n", ascending=False))
    assert [row["__jobu_row"] for row in rows(turned)] == [4, 3, 2, 1]
    assert not turned.repeats
    doubled = run(tmp_path, lambda frame: pd.concat([frame, frame]))
    assert [row["__jobu_row"] for row in rows(doubled)] == [1, 2, 3, 4] * 2
    assert doubled.repeats
    names = pd.DataFrame({"name": ["a", "b"], "long": ["Anna", "Ben"]}).astype(
        pd.ArrowDtype(pa.string())
    )
    merged = run(tmp_path, lambda frame: frame.reset_index().merge(names, on="name"))
    assert [(row["__jobu_row"], row["long"]) for row in rows(merged)] == [(1, "Anna"), (2, "Ben")]


def test_an_aggregate_names_a_source_row(tmp_path: Path) -> None:
    """A group is told as its first row."""

    def total(frame: pd.DataFrame) -> pd.DataFrame:
        grouped = frame.reset_index().groupby("k", as_index=False)
        return grouped.agg({"__jobu_row": "first", "n": "sum"})

    text = "k,n\na,1\nb,2\na,3\n"
    report = run(tmp_path, total, text, types={"n": "int"}, scope="file")
    assert rows(report) == [
        {"__jobu_row": 1, "k": "a", "n": 4},
        {"__jobu_row": 2, "k": "b", "n": 2},
    ]


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda frame: frame.reset_index(drop=True), "without the numbers of their source rows"),
        (lambda frame: frame.set_axis(frame.index + 100), "rows that are none of its"),
        (lambda frame: frame.reset_index().assign(__jobu_row=None), "rows that are none of its"),
        (lambda frame: frame.reset_index().assign(__jobu_row="x"), "holds no row numbers"),
        (lambda _frame: None, "returned a NoneType, not a DataFrame"),
        (lambda frame: frame["id"], "returned a Series"),
        (lambda frame: frame[[]], "returned no columns"),
        (lambda frame: frame.rename(columns={"id": 7}), "whose name is no text"),
        (lambda frame: frame.rename(columns={"id": "n"}), "columns twice: n"),
        (lambda frame: frame.assign(x=[1, "a", 2, 3]), "column 'x': holds values of several"),
        (lambda frame: frame.assign(x=[[1]] * 4), "'x' holds lists or records"),
        (lambda frame: frame.assign(x=np.uint64(5)), "x: Arrow type uint64 has no column type"),
        (lambda frame: frame.assign(x=pd.Timestamp(1)), "column 'x': holds nanoseconds"),
    ],
)
def test_what_cannot_be_stored_names_the_transform(
    tmp_path: Path, function: Callable[[pd.DataFrame], Any], told: str
) -> None:
    """With the rows, and the column where one is at fault; nothing is written."""
    with pytest.raises(TransformFailed) as caught:
        run(tmp_path, function)
    assert str(caught.value).startswith("/data/in.csv: rows 1 to 4: transform clean: ")
    assert told in str(caught.value)
    assert not (tmp_path / "out.parquet").exists()


def test_a_transform_that_raises_is_told_without_values(tmp_path: Path) -> None:
    """Its name and line; the text, which may quote a cell, only if values may show."""

    def clean(frame: pd.DataFrame) -> pd.DataFrame:
        raise ValueError(f"bad cell {frame['name'].iloc[0]}")

    for show_values in (False, True):
        with pytest.raises(TransformFailed) as caught:
            run(tmp_path, clean, "name\nSECRET\n", show_values=show_values)
        text = str(caught.value)
        assert "transform clean: ValueError at test_transform.py line " in text
        assert ("SECRET" in text) is show_values
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_what_jobu_raises_itself_passes_through(tmp_path: Path) -> None:
    """An outage that a transform ran into is retried as one."""

    def look_up(_frame: pd.DataFrame) -> pd.DataFrame:
        raise Outage("the lookup is away")

    with pytest.raises(Outage, match="the lookup is away"):
        run(tmp_path, look_up)


def test_pandas_own_types_are_stored_in_jobus(tmp_path: Path) -> None:
    """Whatever a function makes of a column."""

    def clean(frame: pd.DataFrame) -> pd.DataFrame:
        made: dict[str, Any] = {
            "whole": np.arange(4, dtype="int32"),
            "part": [0.5, None, 1.5, 2.5],
            "when": pd.to_datetime(["2024-01-31"] * 4),
            "zoned": pd.to_datetime(["2024-01-31T00:00+09:00"] * 4),
            "kind": pd.Categorical(["x", "y", "x", None]),
            "money": [Decimal("1.50"), None, Decimal("2.25"), Decimal("3.00")],
            "empty": None,
            "name": None,
            "flag": [True, False, None, True],
        }
        return frame.assign(**made)

    report = run(tmp_path, clean)
    assert dict(report.columns) == {
        "id": "str",
        "name": "str",
        "n": "str",
        "whole": "int",
        "part": "float",
        "when": "datetime",
        "zoned": "datetimetz",
        "kind": "str",
        "money": "decimal(38,2)",
        "empty": "str",
        "flag": "bool",
    }
    row = rows(report)[0]
    assert row["zoned"] == dt.datetime(2024, 1, 30, 15, tzinfo=dt.UTC)
    assert (row["kind"], row["money"], row["empty"]) == ("x", Decimal("1.50"), None)


def chunked(
    folder: Path, function: Callable[[pd.DataFrame], pd.DataFrame], scope: Scope, *texts: str
) -> list[int]:
    """Return how many rows each call is given, in chunks of a few hundred bytes."""
    files = []
    for at, text in enumerate(texts):
        path = folder / f"in_{at}.csv"
        path.write_text(text, encoding="utf-8")
        files.append(InputFile(path, path.name))
    calls: list[int] = []

    def counted(frame: pd.DataFrame) -> pd.DataFrame:
        calls.append(len(frame))
        return function(frame)

    wishes = Wishes(transform=Transform("clean", counted, scope))
    with open_csv_files(files, options=wishes.csv, rename={}, block_bytes=256) as source:
        found = Processing(source, wishes, name="in.csv")
        got = [number for each in found.batches() for number in each.rows[0].to_pylist()]
    assert got == list(range(1, sum(calls) + 1))
    return calls


LONG = "id\n" + "".join(f"{at:08}\n" for at in range(100))


def test_a_chunk_is_some_rows_and_a_file_all_of_them(tmp_path: Path) -> None:
    """Of several files each is one."""
    assert len(chunked(tmp_path, lambda frame: frame, "chunk", LONG, LONG)) > 4
    assert chunked(tmp_path, lambda frame: frame, "file", LONG, "id\n1\n", LONG) == [100, 1, 100]


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (lambda frame: frame.assign(y=1), "column 'y', which the first rows had not"),
        (lambda frame: frame.assign(x=1.5), "column 'x' is float, of the first rows int"),
        (lambda frame: frame, "no column 'x', which the first rows had"),
        (lambda frame: frame.assign(x=1)[["x", "id"]], "come in another order"),
    ],
)
def test_all_chunks_have_the_columns_of_the_first(
    tmp_path: Path, later: Callable[[pd.DataFrame], pd.DataFrame], told: str
) -> None:
    """A Parquet has one schema; the error says which rows differ and how."""

    def clean(frame: pd.DataFrame) -> pd.DataFrame:
        first = frame.index[0] == 1
        return frame.assign(x=1) if first else later(frame)

    with pytest.raises(SchemaMismatch, match=r"in_0\.csv: rows \d+ to \d+: transform clean: ") as e:
        chunked(tmp_path, clean, "chunk", LONG)
    assert told in str(e.value)


def test_a_column_of_nulls_has_the_type_of_the_other_chunks(tmp_path: Path) -> None:
    """Pandas knows no type for it."""

    def clean(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(x=1 if frame.index[0] == 1 else None)

    assert len(chunked(tmp_path, clean, "chunk", LONG)) > 2


def test_a_file_of_no_rows_has_the_columns_of_the_transform(tmp_path: Path) -> None:
    """It is called once, with an empty frame."""
    report = run(tmp_path, lambda frame: frame.assign(x=frame["id"].str.len()), "id,name\n")
    assert report.columns == (("id", "str"), ("name", "str"), ("x", "int"))
    none_left = run(
        tmp_path, lambda frame: frame.assign(x=1), filters={"n": {"gt": 100}}, columns=["x"]
    )
    assert (none_left.rows_out, none_left.columns) == (0, (("x", "int"),))


def test_filters_come_before_and_columns_after(tmp_path: Path) -> None:
    """The function sees wanted rows only; projection knows what it made."""
    seen: list[int] = []

    def clean(frame: pd.DataFrame) -> pd.DataFrame:
        seen.append(len(frame))
        return frame.assign(twice=frame["name"] + frame["name"])

    report = run(tmp_path, clean, filters={"n": {"gt": 2}}, columns=["twice", "id"])
    assert seen == [2]
    assert [name for name, _ in report.columns] == ["twice", "id"]
    with pytest.raises(TransformFailed, match=r"no column 'twicee' \(did you mean 'twice'\?\)"):
        run(tmp_path, clean, columns=["twicee"])
    with pytest.raises(InvalidParams, match="each column once"):
        run(tmp_path, clean, columns=["id", "id"])


def test_a_model_reads_text_as_a_files_and_types_as_a_parquets(tmp_path: Path) -> None:
    """Only while every column is text are nulls a CSV's."""

    class Row(BaseModel):
        id: int | None
        name: str = "nobody"

    for function, strings in (
        (lambda frame: frame[["id", "name"]], True),
        (lambda frame: frame[["id", "name"]].assign(id=1), False),
    ):
        report = run(tmp_path, function)
        origin = read_provenance(report.path)
        assert origin is not None
        assert (origin == replace(origin, values="strings")) is strings
        found = validate_file(
            report.path, model=Row, output_path=tmp_path / "valid.parquet", source_name="x"
        )
        assert (found.valid, found.rejected) == ((4, 0) if strings else (3, 1))


def test_rejects_before_a_transform_of_whole_files_are_all_told(tmp_path: Path) -> None:
    """They do not wait for it, and are not given to it."""
    report = run(
        tmp_path, lambda frame: frame, TEXT + "7\n8,h,x\n", types={"n": "int"}, scope="file"
    )
    assert (report.rows_in, report.rows_out, report.rejected) == (6, 4, 2)


def test_every_declared_type_goes_through_unchanged(tmp_path: Path) -> None:
    """With nulls beside the values; the columns keep the types that were declared."""
    cells = {
        "int": "9223372036854775807",
        "float": "0.1",
        "bool": "yes",
        "str": "가",
        "bytes": "b",
        "date": "2024-02-29",
        "time": "10:00:00.000001",
        "datetime": "2024-02-29T10:00:00.000001",
        "datetimetz": "2024-02-29T10:00:00.000001+09:00",
        "timedelta": "P1DT0.000001S",
        "decimal(38,10)": "1234567890123456789012345678.0123456789",
    }
    names = [f"c{at}" for at in range(len(cells))]
    text = "\n".join([",".join(names), ",".join(cells.values()), "," * (len(cells) - 1), ""])
    types = dict(zip(names, cells, strict=True))
    found = run(tmp_path, lambda frame: frame.copy(), text, types=types)
    written = pq.read_table(found.path)
    assert dict(found.columns) == types
    source = tmp_path / "in.csv"
    plain = preprocess(
        source, output_path=tmp_path / "plain.parquet", source_name="in.csv", types=types
    )
    assert written.equals(pq.read_table(plain.path))
