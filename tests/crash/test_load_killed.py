"""kill -9 at random moments of a load, then a retry: all rows once, and nothing beside them."""

from __future__ import annotations

import random
import signal
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, LiteralString

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from jobu_core.handlers.pydantic_validator import SampleRecord
from jobu_core.pipeline.load.engine import load_parquet
from jobu_core.pipeline.load.request import Mode, Outcome
from tests.crash.children import start
from tests.fused_support import stream_of
from tests.load_bench import NOON, Bench, items

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jobu_core.pipeline.load.request import LoadResult
    from tests.mysql_bench import MysqlBench

OLD_ROWS = 3
LOCK_WAIT_SECONDS = 300.0
"""A server rolls a killed load back before it lets the next one in."""
SMALL = (100_000, 4)
BIG = pytest.param(2_000_000, 10, marks=(pytest.mark.long, pytest.mark.timeout(3600)))
PREPARED: Mapping[str, tuple[LiteralString, ...]] = {
    "postgresql": (
        "DROP TABLE IF EXISTS items",
        "CREATE TABLE items (id bigint PRIMARY KEY, name text, value double precision)",
    ),
    "mysql": (
        "DROP TABLE IF EXISTS items",
        "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(100), value double)",
    ),
}
OLD: tuple[LiteralString, ...] = (
    "INSERT INTO items VALUES (-1, 'old', 0), (-2, 'old', 0), (-3, 'old', 0)",
)
TABLES: Mapping[str, LiteralString] = {
    "postgresql": (
        "SELECT relname::text FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i', 'S') ORDER BY 1"
    ),
    "mysql": "SHOW TABLES",
}


@dataclass(frozen=True)
class Load:
    """One execution's load of the file, by whatever attempt."""

    bench: Bench
    path: Path
    mode: Mode
    execution: int

    def run(self, attempt: int) -> LoadResult:
        """Load the file; later executions have later data."""
        request = self.bench.request(
            self.path,
            mode=self.mode,
            execution_id=self.execution,
            attempt=attempt,
            effective_time=NOON + timedelta(hours=self.execution),
            lock_wait_seconds=LOCK_WAIT_SECONDS,
        )
        return load_parquet(request)

    def kill_after(self, seconds: float) -> int | None:
        """Run attempt 1 in a process of its own and kill it; returns how the process ended."""
        child = start(self.run, 1)
        child.join(seconds)
        child.kill()
        child.join()
        return child.exitcode


@dataclass(frozen=True)
class FusedLoad(Load):
    """The same rows out of a CSV, as one stream; its Parquet is kept."""

    def run(self, attempt: int) -> LoadResult:
        """Read, validate, write and load the file."""
        request = self.bench.request(
            items(0),
            input=stream_of(self.path.with_suffix(".csv"), SampleRecord),
            mode=self.mode,
            execution_id=self.execution,
            attempt=attempt,
            effective_time=NOON + timedelta(hours=self.execution),
            lock_wait_seconds=LOCK_WAIT_SECONDS,
        )
        return load_parquet(request)


def kill_often(
    bench: Bench, engine: str, mode: Mode, rows: int, moments: int, *, kind: type[Load] = Load
) -> None:
    """Kill loads at a random moment in each part of their time; a retry makes each whole."""
    path = bench.file(items(rows))
    if kind is FusedLoad:
        bench.file(items(0))
        path = bench.folder / "rows.csv"
        pa_csv.write_csv(items(rows), path)
    start(abs, 0).join()  # what later processes are forked from
    old = OLD_ROWS if mode is Mode.REPLACE else 0
    _prepare(bench, engine, mode)
    began = time.monotonic()
    whole = start(kind(bench, path, mode, 1).run, 1)
    whole.join()
    took = time.monotonic() - began
    kept = sorted(bench.folder.rglob("*"))
    assert (whole.exitcode, bench.count("items")) == (0, rows)
    tables = bench.rows(TABLES[engine])

    landed = 0
    for execution in range(2, moments + 2):
        load = kind(bench, path, mode, execution)
        _prepare(bench, engine, mode)
        part = execution - 2 + random.random()  # noqa: S311 - no secret
        moment = took * part / moments
        ended = load.kill_after(moment)
        told = f"killed after {moment:.3f} s of {took:.3f} s"
        assert bench.count("items") in {old, rows}, told
        again = load.run(2)
        landed += (ended, again.outcome) == (-signal.SIGKILL, Outcome.LOADED)
        assert (again.rows, bench.count("items")) == (rows, rows), told
        assert bench.value("SELECT count(DISTINCT id) FROM items") == rows, told
        assert bench.value("SELECT count(*) FROM items WHERE name = 'old'") == 0, told
        assert bench.rows(TABLES[engine]) == tables, told
        assert sorted(bench.folder.rglob("*")) == kept, told
    assert bench.count("jobu_loads") == moments + 1
    print(f"{landed} of {moments} killed before their commit; a whole load took {took:.1f} s")  # noqa: T201 - the figure
    assert landed >= moments // 2, "too few were killed on their way to tell anything"


def _prepare(bench: Bench, engine: str, mode: Mode) -> None:
    bench.run(*PREPARED[engine], *(OLD if mode is Mode.REPLACE else ()))


@pytest.mark.parametrize(("rows", "moments"), [SMALL, BIG])
@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE])
def test_a_killed_load_into_postgresql_is_retried(
    bench: Bench, mode: Mode, rows: int, moments: int
) -> None:
    """Exactly all rows, no left-over table, no partial file."""
    kill_often(bench, "postgresql", mode, rows, moments)


@pytest.mark.parametrize(("rows", "moments"), [SMALL, BIG])
@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE])
def test_a_killed_stream_into_postgresql_is_retried(
    bench: Bench, mode: Mode, rows: int, moments: int
) -> None:
    """The same, and its Parquet is a whole one: no file is half written, hidden ones included."""
    kill_often(bench, "postgresql", mode, rows, moments, kind=FusedLoad)
    assert pq.read_metadata(bench.folder / "valid").num_rows == rows


@pytest.mark.parametrize(("rows", "moments"), [SMALL, BIG])
@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE])
def test_a_killed_load_into_mariadb_is_retried(
    mysql_bench: MysqlBench, mode: Mode, rows: int, moments: int
) -> None:
    """Exactly all rows, no left-over table, no partial file."""
    kill_often(mysql_bench, "mysql", mode, rows, moments)
