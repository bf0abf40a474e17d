"""Status changes of a launched row: fenced, complete, and a cancel wins (rules 10, 11, 14)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from jobu_core.errors import FenceLost
from jobu_core.models import Fence, Status
from jobu_core.store import transitions
from jobu_core.store.engine import transaction
from jobu_core.store.transitions import MAX_MESSAGE_CHARS, Problem
from tests.launch_support import Jobs, fence_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    from tests.fix_store_time import StoreTime


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    """Return shortcuts on a fresh job store."""
    return Jobs(engine)


def test_a_start_begins_an_attempt(jobs: Jobs, store_time: StoreTime) -> None:
    """RUNNING with attempt + 1, the deadline from now, run and worker; launches count anew."""
    batch = jobs.queued(timeout_seconds=90)
    row_id = batch.execution_ids[0]
    jobs.change(row_id, launch_count=3, error_type="X", error_message="old", reason="old")
    now = store_time.forward(seconds=7)
    started = jobs.start(batch, run_id="r", worker_id="w")
    assert started is not None
    assert started == jobs.row(row_id)
    assert (started.status, started.attempt, started.launch_count) == (Status.RUNNING, 1, 0)
    assert (started.run_id, started.worker_id) == ("r", "w")
    assert started.started_at == started.heartbeat_at == now
    assert started.deadline_at is not None
    assert (started.deadline_at - now).total_seconds() == 90
    assert (started.error_type, started.error_message, started.reason) == (None, None, None)


def test_a_second_start_of_the_same_launch_is_superseded(jobs: Jobs) -> None:
    """A run that is executed twice claims nothing the second time, and changes nothing."""
    batch = jobs.queued()
    first = jobs.start(batch, run_id="first")
    assert jobs.start(batch, run_id="second") is None
    assert jobs.row(batch.execution_ids[0]) == first


def test_a_start_with_a_token_of_the_past_is_superseded(jobs: Jobs) -> None:
    """A row returned and launched again answers only to its newest token."""
    batch = jobs.queued()
    (row_id,) = batch.execution_ids
    jobs.change(row_id, status="PENDING", lease_token=None)
    assert jobs.start(batch) is None
    (newer,) = jobs.claim().batches
    assert jobs.start(batch) is None
    assert jobs.start(newer) is not None


def _success(connection: Connection, fence: Fence) -> None:
    transitions.finish(connection, fence, Status.SUCCESS, result={"rows": 1})


def _failed(connection: Connection, fence: Fence) -> None:
    transitions.finish(connection, fence, Status.FAILED, problem=Problem("E", "m"))


def _timeout(connection: Connection, fence: Fence) -> None:
    transitions.finish(connection, fence, Status.TIMEOUT, reason="timeout")


def _canceled(connection: Connection, fence: Fence) -> None:
    transitions.finish(connection, fence, Status.CANCELED, reason="canceled")


def _retry(connection: Connection, fence: Fence) -> object:
    return transitions.return_to_pending(connection, fence, after_seconds=5, reason="retry")


def _progress(connection: Connection, fence: Fence) -> None:
    transitions.write_progress(connection, fence, {"done": 1})


def _lease(connection: Connection, fence: Fence) -> object:
    return transitions.read_lease(connection, fence)


WRITES: list[Callable[[Connection, Fence], object]] = [
    _success,
    _failed,
    _timeout,
    _canceled,
    _retry,
    _progress,
    _lease,
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("wrong", ["token", "attempt", "row", "ended", "returned"])
def test_every_write_is_refused_without_the_fence(
    jobs: Jobs,
    write: Callable[[Connection, Fence], object],
    wrong: str,
) -> None:
    """A foreign token, another attempt, or a row that moved on: FenceLost, nothing written."""
    started = jobs.running()
    fence = fence_of(started)
    match wrong:
        case "token":
            fence = replace(fence, token=uuid4())
        case "attempt":
            fence = replace(fence, attempt=fence.attempt + 1)
        case "row":
            fence = replace(fence, execution_id=jobs.add())
        case "ended":
            jobs.change(started.id, status="FAILED", lease_token=None)
        case "returned":
            jobs.change(started.id, status="PENDING", lease_token=None)
    before = [jobs.row(started.id), jobs.row(fence.execution_id)]
    with pytest.raises(FenceLost, match="another launch"), transaction(jobs.engine) as connection:
        write(connection, fence)
    assert [jobs.row(started.id), jobs.row(fence.execution_id)] == before


@pytest.mark.parametrize(
    ("write", "status"),
    [
        (_success, Status.SUCCESS),
        (_failed, Status.FAILED),
        (_timeout, Status.TIMEOUT),
        (_canceled, Status.CANCELED),
    ],
)
def test_an_end_is_written_once(
    jobs: Jobs,
    store_time: StoreTime,
    write: Callable[[Connection, Fence], object],
    status: Status,
) -> None:
    """The row has its final status and time, no token; a second end is refused."""
    started = jobs.running()
    now = store_time.forward(seconds=3)
    with transaction(jobs.engine) as connection:
        write(connection, fence_of(started))
    row = jobs.row(started.id)
    assert (row.status, row.finished_at, row.lease_token) == (status, now, None)
    assert row.result == ({"rows": 1} if status is Status.SUCCESS else None)
    with pytest.raises(FenceLost), transaction(jobs.engine) as connection:
        write(connection, fence_of(started))


def test_a_retry_waits_and_keeps_the_reason(jobs: Jobs, store_time: StoreTime) -> None:
    """RUNNING → PENDING, due after the backoff, with the error of the attempt that failed."""
    started = jobs.running()
    now = store_time.forward(seconds=1)
    with transaction(jobs.engine) as connection:
        status = transitions.return_to_pending(
            connection,
            fence_of(started),
            after_seconds=20,
            reason="handler_error",
            problem=Problem("ValueError", "no"),
        )
    row = jobs.row(started.id)
    assert status is row.status is Status.PENDING
    assert row.next_attempt_at is not None
    assert (row.next_attempt_at - now).total_seconds() == 20
    assert (row.lease_token, row.finished_at, row.attempt) == (None, None, 1)
    assert (row.reason, row.error_type, row.error_message) == ("handler_error", "ValueError", "no")


def test_an_uncounted_return_gives_the_attempt_back(jobs: Jobs) -> None:
    """A planned shutdown costs no attempt."""
    started = jobs.running()
    with transaction(jobs.engine) as connection:
        transitions.return_to_pending(
            connection,
            fence_of(started),
            after_seconds=0,
            reason="worker_shutdown",
            counted=False,
        )
    assert jobs.row(started.id).attempt == 0
    (again,) = jobs.claim().batches
    restarted = jobs.start(again)
    assert restarted is not None
    assert restarted.attempt == 1


def test_cancel_wins_over_retry(jobs: Jobs, store_time: StoreTime) -> None:
    """A row that somebody asked to cancel never returns to PENDING."""
    started = jobs.running()
    jobs.change(started.id, cancel_requested_at=store_time.now)
    with transaction(jobs.engine) as connection:
        status = _retry(connection, fence_of(started))
    row = jobs.row(started.id)
    assert status is row.status is Status.CANCELED
    assert row.finished_at == store_time.now
    assert row.next_attempt_at is None


def test_a_lease_tells_cancel_and_deadline(jobs: Jobs, store_time: StoreTime) -> None:
    """The owner reads whether it should stop, and why."""
    started = jobs.running(timeout_seconds=60)

    def lease() -> transitions.Lease:
        with transaction(jobs.engine) as connection:
            return transitions.read_lease(connection, fence_of(started))

    assert lease() == transitions.Lease(cancel_requested=False, deadline_passed=False)
    store_time.forward(seconds=60)
    assert lease() == transitions.Lease(cancel_requested=False, deadline_passed=True)
    jobs.change(started.id, cancel_requested_at=store_time.now)
    assert lease() == transitions.Lease(cancel_requested=True, deadline_passed=True)


def test_heartbeats_reach_only_the_rows_still_held(jobs: Jobs, store_time: StoreTime) -> None:
    """One UPDATE renews (execution, token) pairs; a moved-on row is left alone."""
    mine, lost = jobs.running(), jobs.running()
    now = store_time.forward(seconds=5)
    held = [(row.id, fence_of(row).token) for row in (mine, lost)]
    jobs.change(lost.id, lease_token=uuid4())
    with transaction(jobs.engine) as connection:
        assert transitions.heartbeat(connection, held) == 1
        assert transitions.heartbeat(connection, []) == 0
    assert jobs.row(mine.id).heartbeat_at == now
    assert jobs.row(lost.id).heartbeat_at == lost.heartbeat_at


def test_progress_is_replaced_and_renews_the_heartbeat(jobs: Jobs, store_time: StoreTime) -> None:
    """The newest progress stands alone, and proves that the attempt lives."""
    started = jobs.running()
    now = store_time.forward(seconds=2)
    with transaction(jobs.engine) as connection:
        transitions.write_progress(connection, fence_of(started), {"a": 1})
        transitions.write_progress(connection, fence_of(started), {"b": "ü"})
    row = jobs.row(started.id)
    assert (row.progress, row.heartbeat_at) == ({"b": "ü"}, now)


@pytest.mark.parametrize("message", ["x" * 50_000, "nul \x00 inside", "lone \ud800 surrogate"])
def test_any_error_message_can_be_stored(jobs: Jobs, message: str) -> None:
    """Long, with NUL or half a character: cut and escaped, never refused."""
    started = jobs.running()
    with transaction(jobs.engine) as connection:
        transitions.finish(
            connection,
            fence_of(started),
            Status.FAILED,
            problem=Problem("E", message),
        )
    stored = jobs.row(started.id).error_message
    assert stored is not None
    assert stored[:4] == message[:4]
    assert len(stored) <= MAX_MESSAGE_CHARS


@pytest.mark.parametrize(
    "result",
    [
        {"nul": "a\x00b", "literal": "\\u0000", "both": "\\\x00"},
        ["\ud800"],
        {"\x00key": {"deep": ["\x00"]}},
        "text",
        0,
        [],
    ],
)
def test_any_json_result_can_be_stored(jobs: Jobs, result: object) -> None:
    """What JSON allows and jsonb refuses is escaped; the rest comes back as it was."""
    started = jobs.running()
    with transaction(jobs.engine) as connection:
        transitions.finish(connection, fence_of(started), Status.SUCCESS, result=result)
    stored = jobs.row(started.id).result
    assert stored is not None
    if "\\x00" not in repr(result) and "\\ud800" not in repr(result):
        assert stored == result
    if isinstance(result, dict) and "literal" in result:
        assert stored == {"nul": "a\\0b", "literal": "\\u0000", "both": "\\\\0"}
