"""The run queue is as wide as the slots of the workers that live."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.store import workers
from jobu_core.store.engine import transaction
from jobu_dagster.private import open_instance
from jobu_dagster.process import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dagster import DagsterInstance
    from sqlalchemy import Engine


@pytest.fixture
def instance(project: Path) -> Iterator[DagsterInstance]:
    """Return the instance that dagster.yaml describes."""
    process().close()  # an earlier test's store
    opened = open_instance(project)
    yield opened
    opened.dispose()
    process().close()


def _beat(engine: Engine, worker_id: str, *, slots: int, draining: bool = False) -> None:
    with transaction(engine) as connection:
        workers.beat(
            connection,
            worker_id=worker_id,
            host="h",
            main_pid=1,
            slots=slots,
            code_version="v",
            draining=draining,
        )


def _limit(instance: DagsterInstance) -> int:
    limits = instance.get_concurrency_config().run_queue_config
    assert limits is not None
    return limits.max_concurrent_runs


def test_a_worker_more_is_room_for_its_slots_more(
    instance: DagsterInstance,
    engine: Engine,
) -> None:
    """No restart, no edit: the daemon asks before each look at its queue."""
    _beat(engine, "a", slots=2)
    assert _limit(instance) == 2
    _beat(engine, "b", slots=3)
    assert _limit(instance) == 5


def test_workers_that_take_no_work_make_no_room(
    instance: DagsterInstance,
    engine: Engine,
) -> None:
    """Neither a draining worker nor one that was silent for longer than its lease counts."""
    _beat(engine, "silent", slots=4)
    with transaction(engine) as connection:
        connection.execute(
            sa.text("UPDATE workers SET heartbeat_at = jobu_now() - interval '31 s'")
        )
    _beat(engine, "draining", slots=8, draining=True)
    _beat(engine, "works", slots=2)
    assert _limit(instance) == 2


def test_without_workers_one_run_is_let_through(instance: DagsterInstance) -> None:
    """Its launch is what starts a worker in the embedded stack."""
    assert _limit(instance) == 1
