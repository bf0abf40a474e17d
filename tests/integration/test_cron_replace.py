"""Overlap policy ``replace``: a newer occurrence takes the place of what is unfinished."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import sqlalchemy as sa

from jobu_core.dispatcher.cron import dispatch
from jobu_core.dispatcher.cron.manual import run_now
from jobu_core.models import Status, Trigger
from jobu_core.store import cron_jobs as store
from jobu_core.store.launches import ahead_in_key, claim_for_run, lock_launching

if TYPE_CHECKING:
    from tests.fix_cron import Cron
    from tests.fix_store_time import StoreTime


def _next_minute(cron: Cron, store_time: StoreTime) -> int:
    store_time.forward(minutes=1)
    (made,) = cron.tick().created
    return made


def _launch(cron: Cron, execution_id: int) -> bool:
    """Claim one execution; False while it has to wait for another of its job."""
    with cron.engine.begin() as connection:
        lock_launching(connection)
        if ahead_in_key(connection, f"cron:{cron.job().id}", execution_id) is not None:
            return False
        return claim_for_run(connection, execution_id, uuid4())


def _begin(cron: Cron, execution_id: int) -> None:
    assert _launch(cron, execution_id)
    cron.write(
        "UPDATE job_executions SET status = 'RUNNING', attempt = 1 WHERE id = :id",
        id=execution_id,
    )


def _end(cron: Cron, execution_id: int, status: Status) -> None:
    cron.write(
        "UPDATE job_executions SET status = :status, lease_token = NULL, finished_at = jobu_now()"
        " WHERE id = :id",
        id=execution_id,
        status=status.value,
    )


def _states(cron: Cron) -> list[tuple[int, str, bool]]:
    """Return (id, status, asked to cancel) of every execution, oldest first."""
    rows = cron.executions()
    return [(row.id, row.status.value, row.cancel_requested_at is not None) for row in rows]


def test_a_running_one_is_asked_and_the_new_one_waits(cron: Cron, store_time: StoreTime) -> None:
    """The old attempt is told by its row; the new row starts only when the old has ended."""
    cron.add(overlap_policy="replace")
    old = _next_minute(cron, store_time)
    _begin(cron, old)
    new = _next_minute(cron, store_time)
    assert _states(cron) == [(old, "RUNNING", True), (new, "PENDING", False)]
    assert cron.executions()[0].cancel_reason == f"replaced by execution {new}"
    assert not _launch(cron, new)
    _end(cron, old, Status.CANCELED)
    assert _launch(cron, new)
    assert cron.skips() == []


@pytest.mark.parametrize("launched", [False, True])
def test_a_waiting_one_ends_at_once(cron: Cron, store_time: StoreTime, *, launched: bool) -> None:
    """PENDING or QUEUED: nobody executes it yet, so there is nothing to wait for."""
    cron.add(overlap_policy="replace")
    old = _next_minute(cron, store_time)
    if launched:
        assert _launch(cron, old)
    new = _next_minute(cron, store_time)
    assert _states(cron) == [(old, "CANCELED", True), (new, "PENDING", False)]
    assert _launch(cron, new)


def test_one_that_finishes_all_the_same_keeps_its_end(cron: Cron, store_time: StoreTime) -> None:
    """Being asked is not being ended: a SUCCESS that comes first stays one."""
    cron.add(overlap_policy="replace")
    old = _next_minute(cron, store_time)
    _begin(cron, old)
    new = _next_minute(cron, store_time)
    _end(cron, old, Status.SUCCESS)
    assert _launch(cron, new)
    assert _states(cron)[0] == (old, "SUCCESS", True)


def test_while_one_ends_slowly_only_the_newest_is_kept(cron: Cron, store_time: StoreTime) -> None:
    """Each new occurrence replaces the one that still waited, and asks the running one once."""
    cron.add(overlap_policy="replace")
    running = _next_minute(cron, store_time)
    _begin(cron, running)
    second = _next_minute(cron, store_time)
    store_time.forward(minutes=1)
    tick = cron.tick()
    (third,) = tick.created
    assert tick.messages == (f"job: execution {third} replaces {second}",)
    assert _states(cron) == [
        (running, "RUNNING", True),
        (second, "CANCELED", True),
        (third, "PENDING", False),
    ]
    assert cron.executions()[0].cancel_reason == f"replaced by execution {second}"


def test_several_due_in_one_tick_end_as_if_in_several(cron: Cron, store_time: StoreTime) -> None:
    """Of three missed ones the newest runs; each has its row in the ledger."""
    cron.add("*/10 * * * *", overlap_policy="replace", misfire_policy="all")
    store_time.forward(minutes=35)
    tick = cron.tick()
    first, second, newest = tick.created
    assert [status for _, status, _ in _states(cron)] == ["CANCELED", "CANCELED", "PENDING"]
    assert tick.messages == (f"job: execution {newest} replaces {first}, {second}",)
    assert cron.ledger_count() == 3


@pytest.mark.parametrize(
    ("trigger", "replaced"),
    [
        (Trigger.MANUAL, True),
        (Trigger.RETRY, True),
        (Trigger.EVENT, False),
        (Trigger.BACKFILL, False),
    ],
)
def test_only_what_counts_as_active_is_replaced(
    cron: Cron,
    store_time: StoreTime,
    trigger: Trigger,
    *,
    replaced: bool,
) -> None:
    """Manual runs and retries are; events and backfills of the job run beside it."""
    job = cron.add(overlap_policy="replace")
    cron.write(
        "INSERT INTO job_executions (job_id, handler_name, param_source, trigger)"
        " VALUES (:job, 'echo', 'cron', :trigger)",
        job=job.id,
        trigger=trigger.value,
    )
    _next_minute(cron, store_time)
    assert (cron.executions()[0].status is Status.CANCELED) is replaced


def test_another_jobs_executions_are_left_alone(cron: Cron, store_time: StoreTime) -> None:
    """Replacing is a matter of one job."""
    cron.add("0 0 1 1 *", name="other")
    beside = run_now(cron.engine, cron.catalog, "other", who="tester")
    cron.add(overlap_policy="replace")
    _next_minute(cron, store_time)
    assert _states(cron)[0] == (beside, "PENDING", False)


def test_a_run_by_hand_waits_and_replaces_nothing(cron: Cron, store_time: StoreTime) -> None:
    """The policy decides about occurrences; a person's run queues behind what is active."""
    cron.add(overlap_policy="replace")
    scheduled = _next_minute(cron, store_time)
    by_hand = run_now(cron.engine, cron.catalog, "job", who="tester")
    assert _states(cron) == [(scheduled, "PENDING", False), (by_hand, "PENDING", False)]
    assert not _launch(cron, by_hand)
    assert _launch(cron, scheduled)


def test_an_occurrence_that_cannot_run_replaces_nothing(
    cron: Cron,
    store_time: StoreTime,
) -> None:
    """Bad params end the new row at once; what works goes on."""
    cron.add(overlap_policy="replace")
    old = _next_minute(cron, store_time)
    cron.catalog.refuse = lambda _params: "x: missing"
    new = _next_minute(cron, store_time)
    assert _states(cron) == [(old, "PENDING", False), (new, "FAILED", False)]


def test_a_tick_that_dies_after_replacing_has_replaced_nothing(
    cron: Cron,
    store_time: StoreTime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row, cancel and watermark are one transaction; the next tick does all three."""
    cron.add(overlap_policy="replace")
    old = _next_minute(cron, store_time)
    store_time.forward(minutes=1)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "advance", dies)
        with pytest.raises(KeyboardInterrupt):
            cron.tick()
    assert _states(cron) == [(old, "PENDING", False)]
    (new,) = cron.tick().created
    assert _states(cron) == [(old, "CANCELED", True), (new, "PENDING", False)]


def test_a_row_that_somebody_holds_leaves_the_job_to_the_next_tick(
    cron: Cron,
    store_time: StoreTime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A long lock on the old row is no outage: other jobs go on, nothing is half done."""
    cron.add(overlap_policy="replace")
    old = _next_minute(cron, store_time)
    cron.add(name="free", overlap_policy="allow")
    store_time.forward(minutes=1)
    monkeypatch.setattr(dispatch, "LOCK_WAIT_MILLISECONDS", 50)
    with cron.engine.begin() as other:
        other.execute(sa.text("UPDATE job_executions SET priority = 1 WHERE id = :id"), {"id": old})
        tick = cron.tick()
    assert len(tick.created) == 1
    assert "locked by another session; left to the next tick" in tick.messages[0]
    (new,) = cron.tick().created
    states = {number: status for number, status, _ in _states(cron)}
    assert (states[old], states[new]) == ("CANCELED", "PENDING")
