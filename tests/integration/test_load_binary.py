"""Rows sent in binary are the same, byte for byte, as the same rows sent as text."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from sqlalchemy.engine import make_url

from jobu_core.errors import DataError, TargetBusy
from jobu_core.pipeline.load.columns import ColumnPlan, compare_columns, read_columns
from jobu_core.pipeline.load.formats import BINARY, CSV, format_of
from jobu_core.pipeline.load.identifiers import parse_table
from jobu_core.pipeline.load.postgres import load_parquet
from jobu_core.pipeline.load.postgres_preview import preview_load
from jobu_core.pipeline.load.rows import copy_rows
from jobu_core.pipeline.load.table import require_table
from tests.wire_strategies import PAIRS, SETUP, Pair, batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobu_core.pipeline.load.formats import Format
    from tests.load_bench import Bench

SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""All examples run on one connection; each makes its own tables."""


@pytest.fixture(scope="module")
def target(postgres_url: str) -> Iterator[psycopg.Connection]:
    """Return a connection to a database that has the types of the pairs."""
    url = make_url(postgres_url).set(database="binary_pairs")
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute("CREATE DATABASE binary_pairs")
        try:
            with psycopg.connect(
                url.render_as_string(hide_password=False), autocommit=True
            ) as connection:
                connection.execute("SET timezone TO 'UTC'")
                for statement in SETUP:
                    connection.execute(statement.encode())
                yield connection
        finally:
            server.execute("DROP DATABASE binary_pairs WITH (FORCE)")


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_each_pair_is_sent_in_binary_and_arrives_as_text_does(
    target: psycopg.Connection, pair: Pair
) -> None:
    """Whatever the values and wherever the nulls; no pair falls back to text."""

    @settings(SHARED, max_examples=15)
    @given(st.lists(st.none() | pair.values, max_size=40))
    def holds(values: list[Any]) -> None:
        batch = pa.record_batch([pa.array(values, pair.arrow)], names=["c0"])
        assert_arrive_alike(target, [pair.column], batch)

    holds()


@settings(SHARED, max_examples=200)
@given(batches())
def test_random_rows_arrive_alike(
    target: psycopg.Connection, drawn: tuple[list[str], pa.RecordBatch]
) -> None:
    """Columns of all kinds side by side, in any order."""
    assert_arrive_alike(target, *drawn)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(SHARED, max_examples=5_000)
@given(batches(most_rows=60))
def test_very_many_random_rows_arrive_alike(
    target: psycopg.Connection, drawn: tuple[list[str], pa.RecordBatch]
) -> None:
    """The same, 5,000 times."""
    assert_arrive_alike(target, *drawn)


def test_instants_before_christ_arrive(target: psycopg.Connection) -> None:
    """Text has no way to write them that the server reads; binary has."""
    moment = pa.array([-62_135_596_800_000_001], pa.timestamp("us"))
    day = pa.array([-719_163, -2_440_588], pa.int32()).cast(pa.date32())
    batch = pa.record_batch([day, pa.concat_arrays([moment, moment])], names=["c0", "c1"])
    sent(target, ["date", "timestamp"], batch, BINARY)
    rows = target.execute("SELECT c0::text, c1::text FROM t").fetchall()
    late = "0001-12-31 23:59:59.999999 BC"
    assert rows == [("0001-12-31 BC", late), ("4714-11-24 BC", late)]


BEYOND = [
    ("date", pa.date32(), 10_957 - 2**31),
    ("date", pa.date32(), -(2**31)),
    ("date", pa.date32(), 2**31 - 1),
    ("date", pa.date32(), 10_957 + 2_145_031_949),
    ("date", pa.date32(), 10_957 - 2_451_546),
    ("timestamp", pa.timestamp("us"), -(2**63)),
    ("timestamp", pa.timestamp("us"), -(2**63) + 946_684_800_000_000),
    ("timestamp", pa.timestamp("us"), 946_684_800_000_000 - 211_813_488_000_000_001),
    ("timestamptz", pa.timestamp("us", tz="UTC"), -(2**63) + 1),
    ("time", pa.time64("us"), 86_400_000_000),
    ("time", pa.time64("us"), -1),
]


@pytest.mark.parametrize(("column", "arrow", "number"), BEYOND)
def test_no_value_becomes_an_infinity_or_wraps(
    target: psycopg.Connection, column: str, arrow: pa.DataType, number: int
) -> None:
    """Beyond what the column holds there is an error that tells the line."""
    whole = pa.int32() if pa.types.is_date32(arrow) else pa.int64()
    values = pa.array([0, None, number], whole).view(arrow)
    batch = pa.record_batch([values], names=["c0"])
    with pytest.raises(DataError, match=r"column 'c0': .*, line 3 of the rows sent"):
        sent(target, [column], batch, BINARY)
    assert target.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_the_last_day_of_the_server_arrives(target: psycopg.Connection) -> None:
    """The bounds are the server's own, not narrower."""
    days = pa.array([10_957 + 2_145_031_948], pa.int32()).cast(pa.date32())
    sent(target, ["date"], pa.record_batch([days], names=["c0"]), BINARY)
    assert target.execute("SELECT c0::text FROM t").fetchone() == ("5874897-12-31",)


def test_what_nulls_cover_is_neither_sent_nor_checked(target: psycopg.Connection) -> None:
    """Arrow leaves any bytes there: out of range, NUL, no UUID."""
    bitmap = pa.py_buffer(b"\x02")
    numbers = pa.Array.from_buffers(
        pa.int64(), 2, [bitmap, pa.py_buffer(np.array([2**62, 7], np.int64).data)]
    )
    texts = pa.Array.from_buffers(
        pa.string(),
        2,
        [bitmap, pa.py_buffer(np.array([0, 3, 4], np.int32).data), pa.py_buffer(b"a\0bc")],
    )
    days = pa.Array.from_buffers(
        pa.date32(), 2, [bitmap, pa.py_buffer(np.array([2**31 - 1, 0], np.int32).data)]
    )
    wide = pa.Array.from_buffers(
        pa.decimal128(3, 0), 2, [bitmap, pa.py_buffer(np.array([9, 9, 5, 0], np.int64).data)]
    )
    batch = pa.record_batch([numbers, texts, days, wide], names=["c0", "c1", "c2", "c3"])
    sent(target, ["smallint", "varchar(2)", "date", "numeric"], batch, BINARY)
    assert target.execute("SELECT c0, c1, c2, c3 FROM t").fetchall() == [
        (None, None, None, None),
        (7, "c", dt.date(1970, 1, 1), 5),
    ]


@pytest.mark.parametrize("spelling", ["nan", "-nan"])
def test_every_not_a_number_is_the_servers_own(target: psycopg.Connection, spelling: str) -> None:
    """Bits of other NaNs would be another value to a hash of older servers."""
    odd = math.copysign(math.nan, -1) if spelling == "-nan" else math.nan
    batch = pa.record_batch([pa.array([odd]), pa.array([odd], pa.float32())], names=["c0", "c1"])
    sent(target, ["double precision", "real"], batch, BINARY)
    bits = target.execute(
        "SELECT encode(float8send(c0), 'hex'), encode(float4send(c1), 'hex') FROM t"
    ).fetchone()
    assert bits == ("7ff8000000000000", "7fc00000")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "6f9619ff8b86d011b42d00c04fc964f", "6f9619ff-8b86-d011-b42d-00c04fc964ffa"),
        *("{6f9619ff-8b86-d011-b42d-00c04fc964ff", "6f9619ff-8b86-d011-b42d-00c04fc964ff}"),
        *("6f96-19ff8b86d011b42d00c04fc964ff-", "6-f9619ff8b86d011b42d00c04fc964ff"),
        *(" 6f9619ff-8b86-d011-b42d-00c04fc964ff", "6f9619ff--8b86-d011-b42d-00c04fc964ff"),
        *("6f9619ff-8b86-d011-b42d-00c04fc964fg", "6f9619ff-8b86-d011-b42d-00c04fc964f\u0661"),
        *("6f96-19ff-8b86-d011-b42d-00c0-4fc9-64ff", "6F9619FF8B86D011B42D00C04FC964FF"),
        *("{6f9619ff8b86d011b42d00c04fc964ff}", "6f9619ff_8b86-d011-b42d-00c04fc964ff"),
    ],
)
def test_the_server_reads_the_same_spellings_of_a_uuid(
    target: psycopg.Connection, text: str
) -> None:
    """What it takes is taken and equal, what it refuses is refused."""
    batch = pa.record_batch([pa.array([text])], names=["c0"])
    (valid,) = target.execute("SELECT pg_input_is_valid(%s, 'uuid')", (text,)).fetchone() or ()
    if valid:
        assert_arrive_alike(target, ["uuid"], batch)
        return
    with pytest.raises(DataError, match="column 'c0': invalid text representation"):
        sent(target, ["uuid"], batch, BINARY)


def test_errors_of_binary_rows_tell_column_and_line(bench: Bench) -> None:
    """Found here or by the server, in the second portion as in the first."""
    bench.run("CREATE TABLE t (at bigint, v smallint, n numeric(3,0))")
    rows = {"at": range(20_000), "v": [1] * 20_000, "n": [1] * 20_000}
    types = [("at", pa.int64()), ("v", pa.int64()), ("n", pa.int64())]
    found_here = rows | {"v": [1] * 17_000 + [40_000] + [1] * 2_999}
    with pytest.raises(DataError, match=r"column 'v': .* out of range .*, line 17001 of the rows"):
        load_parquet(bench.request(pa.table(found_here, pa.schema(types)), "t"))
    found_there = rows | {"n": [1] * 17_000 + [1_000] + [1] * 2_999}
    with pytest.raises(DataError, match=r"out of range .*, column 'n', line 17001 of the rows"):
        load_parquet(bench.request(pa.table(found_there, pa.schema(types)), "t"))
    assert bench.count("t") == 0


def test_the_line_of_bad_json_is_the_rows_not_the_documents(bench: Bench) -> None:
    """The server's context names a line of the document before that of the row."""
    bench.run("CREATE TABLE t (v jsonb)")
    rows = pa.table({"v": ["1", "2", "{", "4"]})
    with pytest.raises(DataError, match=r"invalid text representation .*, column 'v', line 3 of"):
        load_parquet(bench.request(rows, "t"))


def test_one_column_without_a_binary_form_makes_all_go_as_text(bench: Bench) -> None:
    """A decimal into a numeric that rounds before the point is one."""
    bench.run("CREATE TABLE t (at bigint, v numeric(5,-2))")
    plans = plans_of(bench, "t", [("at", pa.int64()), ("v", pa.decimal128(5, 0))])
    assert [plan.binary is None for plan in plans] == [False, True]
    assert format_of(plans) is CSV
    hundreds = pa.array([Decimal(1200)], pa.decimal128(5, 0))
    rows = pa.Table.from_arrays([pa.array([1]), hundreds], names=["at", "v"])
    asked = bench.request(rows, "t")
    wires = [each.wire for each in preview_load(asked).columns]
    assert wires == ["COPY csv", "COPY csv (not proven in binary)"]
    load_parquet(asked)
    assert bench.rows("SELECT at, v FROM t") == [(1, 1200)]


def test_a_column_that_was_altered_after_the_plan_takes_no_bytes(bench: Bench) -> None:
    """An int64 is as wide as a double: the server would take one for the other."""
    bench.run("CREATE TABLE t (v bigint)", "CREATE TABLE altered (v double precision)")
    plans = plans_of(bench, "t", [("v", pa.int64())])
    asked = bench.request(pa.table({"v": [42]}), "t")
    with asked.input.open() as source, psycopg.connect(bench.url) as connection:
        with pytest.raises(TargetBusy, match="altered while it was loaded"):
            copy_rows(connection, parse_table("altered"), source, plans)
        assert copy_rows(connection, parse_table("t"), source, plans) == 1


def assert_arrive_alike(
    connection: psycopg.Connection, columns: list[str], batch: pa.RecordBatch
) -> None:
    """Send the rows both ways; the server must give back the same bytes."""
    assert sent(connection, columns, batch, BINARY) == sent(connection, columns, batch, CSV)


def sent(
    connection: psycopg.Connection, columns: list[str], batch: pa.RecordBatch, way: Format
) -> bytes:
    """Load the rows into a fresh table of these columns; return it as the server sends it."""
    columns_of = ", ".join(f"c{at} {column}" for at, column in enumerate(columns))
    connection.execute("DROP TABLE IF EXISTS t")
    connection.execute(f"CREATE TABLE t ({columns_of})".encode())
    table = require_table(connection, parse_table("t"))
    plans, differences = compare_columns(batch.schema, {}, read_columns(connection, table.oid))
    assert not differences
    assert format_of(plans) is BINARY
    if way is CSV:
        plans = tuple(replace(plan, binary=None) for plan in plans)
    statement = sql.SQL("COPY t FROM STDIN ({})").format(sql.SQL(way.options))
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            copy.write(way.header)
            copy.write(bytes(way.encode(batch, plans, 0)))
            copy.write(way.trailer)
        assert cursor.rowcount == batch.num_rows
        with cursor.copy("COPY t TO STDOUT (FORMAT binary)") as copy:
            return b"".join(bytes(part) for part in copy)


def plans_of(
    bench: Bench, table: str, fields: list[tuple[str, pa.DataType]]
) -> tuple[ColumnPlan, ...]:
    """Return how these columns would be sent."""
    with psycopg.connect(bench.url, autocommit=True) as connection:
        found = require_table(connection, parse_table(table))
        plans, differences = compare_columns(
            pa.schema(fields), {}, read_columns(connection, found.oid)
        )
    assert not differences
    return plans
