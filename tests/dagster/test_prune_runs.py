"""Old runs of Dagster go with their events; what is in use, or an asset shows, stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import dagster as dg
import pytest

import jobu_dagster.process
from jobu_core.models import NewExecution, ParamSource, Trigger
from jobu_core.store.engine import transaction
from jobu_core.store.executions import insert_executions
from jobu_core.store.retention import runs_in_use
from jobu_core.store.schema import job_executions
from jobu_dagster.private import open_instance
from jobu_dagster.process import Process
from jobu_dagster.retention import prune_runs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

ASSET = dg.AssetKey(["sample", "table"])


@dg.op(config_schema={"asset": bool})
def make() -> None:
    """Materialize the asset if asked to."""
    context = dg.OpExecutionContext.get()
    if context.op_config["asset"]:
        context.log_event(dg.AssetMaterialization(ASSET))


@dg.job
def making() -> None:
    """Run the one op."""
    make()


@pytest.fixture
def instance(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Return the project's own Dagster, on PostgreSQL."""
    own = Process()
    monkeypatch.setattr(jobu_dagster.process, "_current", own)
    with open_instance(project) as opened:
        yield opened
    own.close()


def ran(instance: dg.DagsterInstance, *, asset: bool = False, again: str | None = None) -> str:
    """Execute a run to its end and return its id."""
    tags = {} if again is None else {"dagster/root_run_id": again, "dagster/parent_run_id": again}
    config = {"ops": {"make": {"config": {"asset": asset}}}}
    return making.execute_in_process(config, instance=instance, tags=tags).run_id


def pruned(
    instance: dg.DagsterInstance,
    *,
    keep: int = 1,
    in_use: Collection[str] = (),
    batch: int = 100,
    dry_run: bool = False,
    older_than: timedelta = timedelta(hours=-1),
) -> int:
    """Prune everything that has ended, unless told otherwise."""
    return prune_runs(
        instance,
        cutoff=datetime.now(UTC) - older_than,
        keep_materializations=keep,
        in_use=lambda runs: set(runs) & set(in_use),
        batch=batch,
        dry_run=dry_run,
    )


def left(instance: dg.DagsterInstance) -> set[str]:
    """Return the runs that are there."""
    return {run.run_id for run in instance.get_runs()}


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_old_runs_go_with_their_events(instance: dg.DagsterInstance, batch: int) -> None:
    """In portions of any size; a dry run counts the same and deletes nothing."""
    runs = [ran(instance) for _ in range(5)]
    used = runs[2]
    assert pruned(instance, older_than=timedelta(hours=1)) == 0
    assert pruned(instance, batch=batch, in_use=[used], dry_run=True) == 4
    assert left(instance) == set(runs)
    assert pruned(instance, batch=batch, in_use=[used]) == 4
    assert left(instance) == {used}
    assert instance.all_logs(used)
    assert not any(instance.all_logs(run) for run in runs if run != used)


def test_the_newest_materializations_of_an_asset_stay(instance: dg.DagsterInstance) -> None:
    """They are in the events of their runs, and would go with these."""
    runs = [ran(instance, asset=True) for _ in range(4)]
    ran(instance)
    assert pruned(instance, keep=2) == 3
    assert left(instance) == set(runs[2:])
    found = instance.fetch_materializations(ASSET, limit=10).records
    assert [record.run_id for record in found] == [runs[3], runs[2]]


def test_an_unfinished_run_stays(instance: dg.DagsterInstance) -> None:
    """Whatever its age."""
    run = instance.create_run_for_job(
        making, run_config={"ops": {"make": {"config": {"asset": False}}}}
    )
    assert pruned(instance) == 0
    assert left(instance) == {run.run_id}


def test_a_run_stays_while_a_later_execution_of_it_does(instance: dg.DagsterInstance) -> None:
    """Dagster's page shows them as a group and asks for the first one."""
    first = ran(instance)
    again = ran(instance, asset=True, again=first)
    other = ran(instance)
    assert pruned(instance) == 1
    assert left(instance) == {first, again}
    assert other not in left(instance)


def test_unfinished_rows_name_their_runs(project: Path) -> None:
    """By the run that executes them, or by the token that it was launched with."""
    del project
    process = Process()
    engine = process.runtime().engine
    new = NewExecution("sample_handler", {}, ParamSource.EVENT, Trigger.EVENT)
    token = str(uuid4())
    with transaction(engine) as connection:
        waiting, queued, ended = insert_executions(connection, [new, new, new])
        for row, values in (
            (waiting, {"run_id": "waiting"}),
            (queued, {"status": "QUEUED", "lease_token": token}),
            (ended, {"status": "CANCELED", "run_id": "ended"}),
        ):
            change = job_executions.update().where(job_executions.c.id == row)
            connection.execute(change.values(**values))
        assert runs_in_use(connection, ["waiting", token, "ended", "other"]) == {"waiting", token}
    process.close()
