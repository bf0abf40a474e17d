"""How far an attempt is, while it runs: on its row and in its log, at a bounded pace."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jobu_core.config import Settings
from jobu_core.execution.run import Attempt
from jobu_core.execution.runtime import ExecutionRuntime
from jobu_core.pipeline.load.mysql.loader import load_parquet as load_mysql
from jobu_core.pipeline.load.postgres import load_parquet
from jobu_core.pipeline.paths import Paths
from tests.attempt_support import Left, MemorySink
from tests.launch_support import WORKER, Jobs
from tests.load_bench import INSTALLATION, items
from tests.meter_support import Heard, SteppingClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection, Engine

    from jobu_core.models import LaunchBatch
    from tests.handler_bench import Project
    from tests.load_bench import Bench
    from tests.mysql_bench import MysqlBench

ROWS = 200_000
STAGES = ("preprocess", "validate", "load")
PARAMS = {"dataset": "sample", "input_path": "/data/raw/long.csv"}


@pytest.fixture
def jobs(engine: Engine, data_project: Project) -> Jobs:
    """Return the job store of a project that has a file of several batches."""
    lines = "".join(f"{number},name {number},1.5\n" for number in range(ROWS))
    data_project.write("raw/long.csv", "id,name,value\n" + lines)
    return Jobs(engine)


@pytest.fixture
def begun(jobs: Jobs, data_project: Project) -> Attempt:
    """Return an attempt of the pipeline for whose clock a second passes at each look."""
    registry = replace(data_project.registry, code_version="v1")
    batch: LaunchBatch = jobs.queued(handler_name="pipeline", params=PARAMS)
    runtime = ExecutionRuntime(
        engine=jobs.engine,
        settings=Settings(root=data_project.root),
        registry=registry,
        paths=Paths({"/data": "data"}, data_project.root),
        databases={"default": data_project.bench.url},
        installation=INSTALLATION,
        clock=SteppingClock(),
    )

    def leave(_code: int) -> None:
        raise Left

    attempt = Attempt.begin(
        runtime,
        batch.execution_ids[0],
        batch.token,
        run_id="run",
        worker_id=WORKER,
        exit_process=leave,
    )
    assert attempt is not None
    return attempt


def written(engine: Engine) -> list[Mapping[str, Any]]:
    """Return the list to which every progress is added that is written to a row from now on."""
    seen: list[Mapping[str, Any]] = []

    def look(_c: Connection, _cursor: Any, statement: str, values: Any, *_: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        if "SET progress" in statement:
            seen.append(json.loads(values["progress"]))

    sa.event.listen(engine, "before_cursor_execute", look)
    return seen


def test_each_stage_tells_row_and_log_how_far_it_is(begun: Attempt) -> None:
    """Rows of how many, bytes of how many, rate and rest; few writes for many batches."""
    sink, seen = MemorySink(), written(begun.runtime.engine)
    for stage in STAGES:
        outcome = begun.run_stage(stage, sink)
    assert outcome is not None
    assert outcome.ok, outcome.message
    assert {each["stage"] for each in seen} >= {"validate", "load"}
    load = next(each for each in seen if each["stage"] == "load")
    assert (load["total_rows"], load["rows"] % 16_384) == (ROWS, 0)
    assert 0 < load["rows"] < ROWS
    assert 0 < load["bytes"] < load["total_bytes"]
    assert load["rows_per_second"] > 0
    assert load["eta_seconds"] > 0
    lines = [line for line in sink.lines if "event='progress'" in line]
    assert any("stage='load'" in line and f"total_rows={ROWS}" in line for line in lines)
    assert len(lines) + len(seen) < 20


def test_one_stream_tells_the_bytes_of_the_file_it_reads(data_project: Project) -> None:
    """``fused: true`` knows no rows before the last one; the file's size says how much is left."""
    text = "id,name,value\n" + "1,a,1.5\n" * ROWS
    data_project.write("raw/long.csv", text)
    heard = Heard()
    result = data_project.run("pipeline", PARAMS | {"fused": True}, meter=heard)
    assert heard.started == [("fused", None, len(text))]
    assert heard.counts[-1] == (ROWS, len(text))
    assert result["load"]["bytes_in"] == len(text)
    assert result["validate"]["bytes_out"] > 0
    table = data_project.emitted[-1]
    assert table.sources["id"].asset == ("sample", "valid")


def test_progress_of_several_files_goes_on_over_all_of_them(data_project: Project) -> None:
    """Packed or not: their bytes on disk are one total, and are read in the end."""
    for name in ("many/one.csv", "many/two.csv"):
        data_project.write(name, "id,name,value\n" + "1,a,1.5\n" * 1000)
    packed = data_project.root / "data" / "many" / "three.csv"
    packed.write_bytes(gzip.compress(b"id,name,value\n" + b"1,a,1.5\n" * 1000))
    heard = Heard()
    params = {"input_path": "/data/many/*.csv", "output_path": "/data/out/all.parquet"}
    told = data_project.run("pandas_preprocess", params, meter=heard)
    size = sum(each.stat().st_size for each in packed.parent.glob("*.csv"))
    assert heard.started == [("preprocess", None, size)]
    assert heard.counts[-1] == (3000, size)
    assert (told["rows"], told["bytes_in"]) == (3000, size)


def test_progress_of_a_row_that_was_taken_away_ends_the_process(begun: Attempt, jobs: Jobs) -> None:
    """A refused write while rows are sent: no load, no further line of this attempt."""
    sink = MemorySink()
    for stage in STAGES[:2]:
        begun.run_stage(stage, sink)
    jobs.change(begun.execution.id, status="PENDING", lease_token=None)
    with pytest.raises(Left):
        begun.run_stage("load", sink)
    with jobs.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT to_regclass('public.sample')::text")) is None


def test_a_load_tells_of_each_batch_once(bench: Bench) -> None:
    """The file's footer says how many rows there are."""
    bench.run("CREATE TABLE items (id bigint, name text, value double precision)")
    _hears(bench, load_parquet)


def test_a_load_into_mysql_tells_of_each_batch_once(mysql_bench: MysqlBench) -> None:
    """The same as for PostgreSQL."""
    mysql_bench.run("CREATE TABLE items (id bigint, name varchar(100), value double)")
    _hears(mysql_bench, load_mysql)


@pytest.mark.parametrize("kind", ["bench", "mysql_bench"])
def test_a_meter_that_raises_while_rows_are_sent_leaves_no_row(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """The error comes out as it is, and the transaction with the rows is rolled back."""
    bench: Bench = request.getfixturevalue(kind)
    bench.run("CREATE TABLE items (id bigint, name varchar(100), value double precision)")

    class Refusing(Heard):
        def at(self, rows: int, read_bytes: int | None = None) -> None:
            super().at(rows, read_bytes)
            raise Left

    asked = bench.request(items(40_000), meter=Refusing())
    with pytest.raises(Left):
        (load_mysql if kind == "mysql_bench" else load_parquet)(asked)
    assert bench.count("items") == 0


def _hears(bench: Bench, load: Callable[..., object]) -> None:
    meter = Heard()
    asked = bench.request(items(40_000), meter=meter)
    load(asked)
    assert meter.started == [("load", 40_000, (bench.folder / "rows.parquet").stat().st_size)]
    assert [rows for rows, _ in meter.counts] == [16_384, 32_768, 40_000]
