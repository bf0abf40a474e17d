"""Claims: the window, the order, one launch per row, serial keys (rules 8 and 9)."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.models import Status
from jobu_core.store import launches, transitions
from jobu_core.store.engine import transaction
from tests.launch_support import VERSION, WORKER, Jobs, fence_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tests.fix_store_time import StoreTime


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    """Return shortcuts on a fresh job store."""
    return Jobs(engine)


def test_a_claim_makes_one_launch_per_row(jobs: Jobs) -> None:
    """Each due row becomes QUEUED with a token of its own and the time of the claim."""
    jobs.worker()
    ids = [jobs.add(), jobs.add()]
    plan = jobs.claim()
    assert [batch.execution_ids for batch in plan.batches] == [(ids[0],), (ids[1],)]
    assert len({batch.token for batch in plan.batches}) == 2
    for batch in plan.batches:
        row = jobs.row(batch.execution_ids[0])
        assert (row.status, row.lease_token) == (Status.QUEUED, batch.token)
        assert row.queued_at is not None
        assert row.attempt == 0
    assert "launching 2" in plan.message


def test_window_counts_live_slots_and_launches_in_flight(jobs: Jobs) -> None:
    """Two slots with two ahead each are four launches; running ones count, ended ones do not."""
    jobs.worker()
    ids = [jobs.add() for _ in range(7)]
    assert jobs.claim().window == 4
    assert jobs.claimed_ids() == []
    batch_of_first = jobs.row(ids[0])
    assert batch_of_first.lease_token is not None
    with transaction(jobs.engine) as connection:
        started = transitions.start(
            connection,
            ids[0],
            batch_of_first.lease_token,
            run_id="r",
            worker_id=WORKER,
        )
    assert started is not None
    assert jobs.claimed_ids() == []
    with transaction(jobs.engine) as connection:
        transitions.finish(connection, fence_of(started), Status.SUCCESS)
    assert jobs.claimed_ids() == [ids[4]]


def test_limit_narrows_the_window(jobs: Jobs) -> None:
    """A caller may ask for fewer launches than the window allows."""
    jobs.worker()
    first = jobs.add()
    jobs.add()
    assert jobs.claimed_ids(limit=1) == [first]


def test_without_a_live_worker_nothing_is_launched_and_the_message_says_so(jobs: Jobs) -> None:
    """Zero slots: rows stay PENDING, and the tick tells a person what to do."""
    jobs.add()
    plan = jobs.claim()
    assert plan.batches == ()
    assert "no live worker" in plan.message


def test_draining_stale_and_foreign_workers_offer_no_slots(
    jobs: Jobs,
    store_time: StoreTime,
) -> None:
    """Only fresh, staying workers of the launcher's own code version count."""
    jobs.worker("stale")
    store_time.forward(seconds=31)
    jobs.worker("draining", draining=True)
    jobs.worker("other", code_version="v0")
    jobs.add()
    plan = jobs.claim()
    assert plan.window == 0
    assert "another code version" in plan.message
    jobs.worker("good", slots=1)
    assert jobs.claim().window == 2


def test_priority_first_then_the_oldest(jobs: Jobs) -> None:
    """Higher priority overtakes; within a priority the older row goes first."""
    jobs.worker(slots=1)
    old, urgent, younger = jobs.add(), jobs.add(priority=5), jobs.add()
    assert jobs.claimed_ids(limit=1) == [urgent]
    assert jobs.claimed_ids(limit=1) == [old]
    assert jobs.row(younger).status is Status.PENDING


def test_rows_of_other_handlers_are_left_alone(jobs: Jobs) -> None:
    """A launcher claims only the handlers it was given."""
    jobs.worker()
    mine, foreign = jobs.add(), jobs.add(handler_name="gone")
    assert jobs.claimed_ids() == [mine]
    assert jobs.row(foreign).status is Status.PENDING


def test_a_row_in_backoff_is_not_due(jobs: Jobs, store_time: StoreTime) -> None:
    """next_attempt_at is waited for, on the database's clock."""
    jobs.worker()
    row_id = jobs.add()
    jobs.change(row_id, next_attempt_at=store_time.now.replace(minute=1))
    assert jobs.claimed_ids() == []
    store_time.forward(minutes=1)
    jobs.worker()
    assert jobs.claimed_ids() == [row_id]


def test_concurrent_claims_never_launch_a_row_twice(jobs: Jobs) -> None:
    """Eight launchers at once: every row launched once, the window never exceeded."""
    jobs.worker(slots=10)
    ids = {jobs.add() for _ in range(60)}
    gate = threading.Barrier(8)

    def claim(_number: int) -> list[int]:
        gate.wait()
        return jobs.claimed_ids(ahead=2)

    with ThreadPoolExecutor(8) as pool:
        claimed = [row_id for found in pool.map(claim, range(8)) for row_id in found]
    assert len(claimed) == len(set(claimed)) == 20
    assert set(claimed) < ids
    assert jobs.count("QUEUED") == 20


def test_a_claim_waits_for_the_claim_before_it(jobs: Jobs) -> None:
    """The second launcher counts what the first one launched, although both began at once."""
    jobs.worker(slots=2)
    ids = [jobs.add() for _ in range(6)]
    with ThreadPoolExecutor(1) as pool:
        with transaction(jobs.engine) as first:
            launches.lock_launching(first)
            due = launches.lock_due(first, scope=launches.Scope(["echo"]), most=3)
            first_batches = launches.queue(first, [[row] for row in due])
            second = pool.submit(jobs.claimed_ids)
            _wait_for_waiting_launcher(jobs)
        assert second.result(timeout=10) == [ids[3]]
    assert [batch.execution_ids[0] for batch in first_batches] == ids[:3]


def _wait_for_waiting_launcher(jobs: Jobs) -> None:
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    deadline = time.monotonic() + 10
    with jobs.engine.connect() as connection:
        while connection.scalar(waiting) == 0:
            assert time.monotonic() < deadline, "no launcher waits for the launch lock"


def test_serial_key_lets_only_the_oldest_start(jobs: Jobs) -> None:
    """Of one key one row is in flight, always the oldest unfinished one."""
    jobs.worker()
    first, second = jobs.add(serial_key="k"), jobs.add(serial_key="k", priority=9)
    free = jobs.add()
    assert jobs.claimed_ids() == [first, free]
    assert jobs.claimed_ids() == []
    jobs.change(first, status="FAILED", lease_token=None)
    assert jobs.claimed_ids() == [second]


def test_a_row_in_backoff_keeps_its_serial_key(jobs: Jobs, store_time: StoreTime) -> None:
    """While the older row waits for its next attempt, nothing younger overtakes it."""
    jobs.worker()
    first, second = jobs.add(serial_key="k"), jobs.add(serial_key="k")
    jobs.change(first, next_attempt_at=store_time.now.replace(hour=1))
    assert jobs.claimed_ids() == []
    jobs.change(first, status="CANCELED")
    assert jobs.claimed_ids() == [second]


def test_serial_order_holds_under_concurrent_claims(jobs: Jobs) -> None:
    """Many launchers, one key: exactly the oldest row is launched, once."""
    jobs.worker(slots=50)
    ids = [jobs.add(serial_key="k") for _ in range(10)]
    with ThreadPoolExecutor(6) as pool:
        claimed = [
            row for found in pool.map(lambda _: jobs.claimed_ids(), range(6)) for row in found
        ]
    assert claimed == ids[:1]


def test_the_database_itself_refuses_two_of_one_key_in_flight(jobs: Jobs) -> None:
    """Should a claim ever be wrong, the unique index is the last line."""
    jobs.queued(serial_key="k")
    second = jobs.add(serial_key="k")
    with pytest.raises(sa.exc.IntegrityError, match="serial_in_flight"):
        jobs.change(second, status="QUEUED", lease_token=sa.func.gen_random_uuid())


def test_a_row_being_canceled_is_not_claimed(jobs: Jobs) -> None:
    """A claim does not wait for another's row lock, and never takes what was canceled."""
    jobs.worker()
    row_id = jobs.add()
    with jobs.engine.begin() as other:
        other.execute(
            sa.text("UPDATE job_executions SET status = 'CANCELED' WHERE id = :id"),
            {"id": row_id},
        )
        assert jobs.claimed_ids() == []
    assert jobs.row(row_id).status is Status.CANCELED


def test_a_stamp_marks_waiting_rows_only(jobs: Jobs) -> None:
    """The worker's stamp writes run, worker and heartbeat; after the end it writes nothing."""
    batch = jobs.queued()
    assert jobs.stamp(batch, run_id="r1", worker_id="w1") == 1
    row = jobs.row(batch.execution_ids[0])
    assert (row.run_id, row.worker_id) == ("r1", "w1")
    assert row.heartbeat_at is not None
    jobs.change(row.id, status="CANCELED", lease_token=None)
    assert jobs.stamp(batch) == 0


def test_a_relaunch_forgets_the_launch_before(jobs: Jobs) -> None:
    """A fresh claim has a fresh token and no run, worker or heartbeat."""
    batch = jobs.queued()
    jobs.stamp(batch)
    row_id = batch.execution_ids[0]
    jobs.change(row_id, status="PENDING", lease_token=None)
    (again,) = jobs.claim().batches
    row = jobs.row(row_id)
    assert again.token != batch.token
    assert (row.run_id, row.worker_id, row.heartbeat_at) == (None, None, None)
    assert jobs.start(batch) is None
    assert jobs.start(again) is not None


def test_a_run_by_hand_takes_a_row_once(jobs: Jobs) -> None:
    """A row is claimed for a run that exists; a second run, or a busy key, gets nothing."""
    busy = jobs.queued(serial_key="k")
    blocked, free = jobs.add(serial_key="k"), jobs.add()
    with transaction(jobs.engine) as connection:
        assert not launches.claim_for_run(connection, blocked, busy.token)
        assert launches.claim_for_run(connection, free, busy.token)
        assert not launches.claim_for_run(connection, free, busy.token)
    assert jobs.row(free).lease_token == busy.token


def test_fused_rows_are_told_apart_and_can_be_left(jobs: Jobs) -> None:
    """Only the boolean true of a handler that has a second job counts."""
    jobs.worker(slots=10)
    fused = jobs.add(params={"fused": True})
    plain = [jobs.add(params={"fused": value}) for value in (False, "true", [True])]
    scope = launches.Scope(["echo"], fusible=["echo"], with_fused=False)
    with transaction(jobs.engine) as connection:
        capacity = launches.read_capacity(
            connection, scope=scope, code_version=VERSION, lease_seconds=30
        )
        left = launches.lock_due(connection, scope=scope, most=10)
        every = launches.lock_due(connection, scope=replace(scope, with_fused=True), most=10)
        unknown = launches.lock_due(connection, scope=launches.Scope(["echo"]), most=10)
    assert capacity.due == 3
    assert [row.id for row in left] == plain
    assert [(row.id, row.fused) for row in every] == [
        (fused, True),
        *((id_, False) for id_ in plain),
    ]
    assert not any(row.fused for row in unknown)
