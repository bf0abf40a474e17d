"""Cron dispatch, launch claim and reconcile with the connection cut at every message."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.models import Status
from jobu_core.runs import RunState
from jobu_core.store.engine import open_engine
from tests.fix_world import World
from tests.launch_support import Jobs
from tests.outage.sweep import cut_everywhere

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.fix_cron import Cron
    from tests.fix_proxy import Proxy
    from tests.fix_runs import MemoryRuns
    from tests.fix_store_time import StoreTime


@pytest.fixture
def by_proxy(proxy: Proxy, database_url: str, store_time: StoreTime) -> Iterator[Engine]:
    """Return an engine on the store by way of the proxy, with the store's time of the test."""
    opened = open_engine(proxy.url(database_url))
    sa.event.listen(opened, "begin", store_time.apply)
    yield opened
    opened.dispose()


@pytest.mark.rule(2, 6)
def test_each_occurrence_is_decided_once(
    cron: Cron,
    by_proxy: Engine,
    proxy: Proxy,
    store_time: StoreTime,
) -> None:
    """Two jobs, one minute more per cut: one execution for each minute of each job."""
    names = ("left", "right")
    for name in names:
        cron.add(name=name, overlap_policy="allow")
    proxied = replace(cron, engine=by_proxy)
    minutes = 0

    def act() -> None:
        nonlocal minutes
        minutes += 1
        store_time.forward(minutes=1)
        proxied.tick()

    def settle() -> None:
        proxied.tick()
        assert len(cron.executions()) == minutes * len(names)
        assert cron.ledger_count() == minutes * len(names)
        assert {cron.job(name).dispatched_until for name in names} == {store_time.now}

    assert cut_everywhere(proxy, act, settle) > 20


@pytest.fixture
def cut_world(by_proxy: Engine, runs: MemoryRuns, store_time: StoreTime, tmp_path: Path) -> World:
    """Return a world whose store is behind the proxy."""
    return World(by_proxy, runs, store_time, tmp_path)


@pytest.mark.rule(9, 11)
def test_a_claim_whose_answer_is_lost_is_launched_again(
    engine: Engine,
    cut_world: World,
    proxy: Proxy,
    runs: MemoryRuns,
) -> None:
    """A row is PENDING, or QUEUED by one launch; what nobody launched comes back by itself."""
    sound = Jobs(engine)
    row_id = 0

    def launch() -> None:
        for batch in cut_world.jobs.claim().batches:
            sound.stamp(batch, run_id=runs.launch(batch))

    def act() -> None:
        sound.worker()
        nonlocal row_id
        row_id = sound.add()
        launch()

    def settle() -> None:
        cut_world.tick()
        cut_world.wait(31)
        cut_world.tick()
        cut_world.wait(10)
        sound.worker()
        launch()
        row = sound.row(row_id)
        assert row.status is Status.QUEUED
        assert runs.known[str(row.lease_token)] is RunState.STARTED
        carried = [batch for batch in runs.launched if row_id in batch.execution_ids]
        assert [batch.token for batch in carried] == [row.lease_token]
        sound.change(row_id, status="CANCELED", lease_token=None)

    assert cut_everywhere(proxy, act, settle) > 10


@pytest.mark.rule(11)
@pytest.mark.parametrize("cancels", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_reconciler_that_is_cut_settles_each_row_in_the_end(
    engine: Engine,
    cut_world: World,
    proxy: Proxy,
    runs: MemoryRuns,
    *,
    cancels: bool,
) -> None:
    """A lost launch, a dead worker's row and one past its deadline: each one settled, once."""
    sound = Jobs(engine)
    rows = (0, 0, 0)

    def arrange() -> None:
        nonlocal rows
        stale = sound.running(run_id=runs.add(None, RunState.STARTED), max_attempts=1)
        late = sound.running(run_id=runs.add(None, RunState.STARTED), timeout_seconds=1)
        if cancels:
            sound.change(stale.id, cancel_requested_at=cut_world.now.now)
        cut_world.tick()
        lost = sound.queued()
        cut_world.wait(29)
        cut_world.tick()
        cut_world.wait(5)  # now each of the three is to be settled
        sound.change(late.id, heartbeat_at=cut_world.now.now)
        rows = (lost.execution_ids[0], stale.id, late.id)

    def settle() -> None:
        for seconds in (0, 29, 5):
            cut_world.wait(seconds)
            cut_world.tick()
        lost, stale, late = (sound.row(row_id) for row_id in rows)
        assert (lost.status, lost.reason) == (Status.PENDING, "launch_lost")
        assert lost.launch_count == 1
        assert stale.status is (Status.CANCELED if cancels else Status.FAILED)
        assert (late.status, late.attempt) == (Status.PENDING, 1)
        assert late.reason in {"timeout", "worker_lost"}
        assert runs.known[stale.run_id or ""] is RunState.FAILURE
        assert runs.known[late.run_id or ""] is RunState.FAILURE
        for row in (lost, late):
            sound.change(row.id, status="CANCELED")

    assert cut_everywhere(proxy, cut_world.tick, settle, arrange) > 20
