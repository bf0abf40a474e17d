"""One attempt from claim to end: what handlers do, and what the row says afterwards."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from jobu_core.errors import FenceLost, FileError, StoreUnavailable
from jobu_core.execution.cancel import cancel_execution
from jobu_core.execution.claim import stamp_launch
from jobu_core.execution.run import Attempt
from jobu_core.handlers.base import Cancel, HandlerContext, Retry
from jobu_core.handlers.functions import FunctionHandler
from jobu_core.models import Status
from jobu_core.store import patience
from tests.attempt_support import Bench, Free, Left, Number
from tests.launch_support import WORKER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from jobu_core.execution.run import Outcome
    from tests.fix_store_time import StoreTime


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Bench:
    """Return a child that has executed nothing yet."""
    return Bench(engine, tmp_path)


def test_a_return_is_success_with_its_result(bench: Bench) -> None:
    """The row holds the result, the times and no token; the run may be SUCCESS."""

    def work(context: HandlerContext, params: Number) -> dict[str, object]:
        return {"attempt": context.attempt, "number": params.number}

    outcome = bench.run(work)
    row = bench.jobs.row(outcome.execution_id)
    assert outcome.ok
    assert (row.status, row.result) == (Status.SUCCESS, {"attempt": 1, "number": 1})
    assert row.finished_at is not None
    assert row.lease_token is None


def test_the_context_says_who_where_and_until_when(bench: Bench, store_time: StoreTime) -> None:
    """Ids, deadline, effective time, databases and a folder that exists and is this attempt's."""
    seen: list[HandlerContext] = []

    def work(context: HandlerContext, _params: Free) -> None:
        assert context.work_dir.is_dir()
        seen.append(context)

    message_time = store_time.now.replace(year=2025)
    outcome = bench.run(work, message_time=message_time, timeout_seconds=60)
    (context,) = seen
    assert context.execution_id == context.root_execution_id == outcome.execution_id
    assert context.deadline == store_time.now.replace(minute=1)
    assert context.effective_time == message_time
    assert context.databases == {"default": "postgresql:///x"}
    assert context.work_dir.parts[-2:] == (str(outcome.execution_id), "1")


def test_a_retry_keeps_the_effective_time_of_its_root(bench: Bench, store_time: StoreTime) -> None:
    """A row made later for the same work is as old as the first of its chain."""
    first = bench.jobs.add()
    made = bench.jobs.row(first).created_at
    bench.jobs.change(first, status="CANCELED")
    store_time.forward(hours=5)
    seen = []

    def work(context: HandlerContext, _params: Free) -> None:
        seen.append((context.effective_time, context.root_execution_id))

    bench.run(work, root_execution_id=first)
    assert seen == [(made, first)]


def test_the_attempts_folder_goes_with_success_and_stays_with_failure(bench: Bench) -> None:
    """What a failed attempt left is there for a person to look at."""

    def work(context: HandlerContext, _params: Free) -> None:
        (context.work_dir / "half").write_text("x", encoding="utf-8")
        if context.params["number"] == 2:
            raise ValueError("no")

    good = bench.run(work)
    bad = bench.run(work, params={"number": 2})
    base = bench.root / ".jobu" / "work"
    assert not (base / str(good.execution_id)).exists()
    assert (base / str(bad.execution_id) / "1" / "half").exists()


def test_a_failure_is_tried_again_and_its_traceback_logged(bench: Bench) -> None:
    """PENDING with the error on the row; the run of this attempt is FAILURE."""

    def work(_context: HandlerContext, _params: Free) -> None:
        raise ValueError("no such thing")

    outcome = bench.run(work)
    row = bench.jobs.row(outcome.execution_id)
    assert not outcome.ok
    assert (row.status, row.error_type, row.error_message) == (
        Status.PENDING,
        "ValueError",
        "no such thing",
    )
    assert any("Traceback" in line for line in bench.sink.lines)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Retry(after=7), Status.PENDING, "retry"),
        (Cancel("nothing to do"), Status.CANCELED, "handler"),
        (FileError("ragged"), Status.FAILED, FileError.code),
        (SystemExit(1), Status.PENDING, "handler_error"),
    ],
)
def test_what_a_handler_raises_decides(
    bench: Bench,
    error: BaseException,
    status: Status,
    reason: str,
) -> None:
    """The verbs, a data error, and a handler that calls exit()."""

    def work(_context: HandlerContext, _params: Free) -> None:
        raise error

    outcome = bench.run(work)
    row = bench.jobs.row(outcome.execution_id)
    assert (outcome.status, row.status, row.reason) == (status, status, reason)


@pytest.mark.parametrize("result", [object(), float("nan"), {1, 2}, {"a": {(1, 2): 3}}])
def test_a_result_that_is_no_json_fails_the_attempt(bench: Bench, result: object) -> None:
    """And the message says so."""
    outcome = bench.run(lambda _context, _params: result, max_attempts=1)
    row = bench.jobs.row(outcome.execution_id)
    assert (row.status, row.error_type) == (Status.FAILED, "TypeError")
    assert "JSON" in (row.error_message or "")


def test_params_that_do_not_fit_fail_without_a_retry(bench: Bench) -> None:
    """A row that slipped in with bad params ends FAILED and names the field."""

    def work(_context: HandlerContext, params: Number) -> None:
        del params

    outcome = bench.run(work, params={"number": "many"})
    row = bench.jobs.row(outcome.execution_id)
    assert (row.status, row.reason) == (Status.FAILED, "invalid_params")
    assert "number" in (row.error_message or "")


def test_a_superseded_launch_begins_nothing(bench: Bench) -> None:
    """A run that is executed twice gets no attempt the second time."""
    batch = bench.jobs.queued()
    handler = FunctionHandler.wrap("echo", lambda _context, _params: None)
    bench.begin(handler, batch)
    again = Attempt.begin(
        bench.runtime(handler),
        batch.execution_ids[0],
        batch.token,
        run_id="second",
        worker_id=WORKER,
        exit_process=bench.leave,
    )
    assert again is None


def test_a_draining_worker_begins_nothing(bench: Bench) -> None:
    """Its code is not what the launch was made for: the row waits again, nothing counted."""
    batch = bench.jobs.queued()
    bench.jobs.worker(draining=True)
    begun = Attempt.begin(
        bench.runtime(FunctionHandler.wrap("echo", lambda _context, _params: None)),
        batch.execution_ids[0],
        batch.token,
        run_id="run",
        worker_id=WORKER,
        exit_process=bench.leave,
    )
    assert begun is None
    row = bench.jobs.row(batch.execution_ids[0])
    assert (row.status, row.reason) == (Status.PENDING, "worker_draining")
    assert (row.launch_count, row.attempt, row.lease_token) == (0, 0, None)


@pytest.mark.parametrize("when", ["progress", "check_lease", "finish"])
def test_a_refused_write_ends_the_process(bench: Bench, when: str) -> None:
    """Another launch owns the row: no further line of this attempt, nothing written."""
    reached = []

    def work(context: HandlerContext, _params: Free) -> None:
        bench.jobs.change(context.execution_id, status="PENDING", lease_token=None)
        if when == "progress":
            context.progress({"rows": 1})
        if when == "check_lease":
            context.check_lease()
        reached.append(when)

    with pytest.raises(Left):
        bench.run(work)
    assert bench.exits == [1]
    assert reached == (["finish"] if when == "finish" else [])
    assert bench.jobs.count("PENDING") == 1


def test_a_handler_that_swallows_the_refusal_still_writes_nothing(bench: Bench) -> None:
    """Catching FenceLost does not help: the next fenced write ends the process."""

    def work(context: HandlerContext, _params: Free) -> str:
        bench.jobs.change(context.execution_id, status="PENDING", lease_token=None)
        with pytest.raises(FenceLost):
            context.progress({})
        return "as if nothing had happened"

    with pytest.raises(Left):
        bench.run(work)
    assert bench.jobs.count("SUCCESS") == 0


def test_progress_and_lease_work_while_the_row_is_ours(bench: Bench) -> None:
    """Progress is on the row at once."""

    def work(context: HandlerContext, _params: Free) -> object:
        context.check_lease()
        context.progress({"rows": 3})
        return bench.jobs.row(context.execution_id).progress

    assert bench.run(work).result == {"rows": 3}


def _interrupted(bench: Bench, *, cancel: bool, deadline: bool) -> Outcome:
    def work(context: HandlerContext, _params: Free) -> str:
        if cancel:
            cancel_execution(bench.jobs.engine, context.execution_id, who="t", reason="enough")
        if deadline:
            past = bench.jobs.row(context.execution_id).started_at
            bench.jobs.change(context.execution_id, deadline_at=past)
        os.kill(os.getpid(), signal.SIGINT)
        return "went on"

    return bench.run(work, max_attempts=1)


@pytest.mark.parametrize(
    ("cancel", "deadline", "status"),
    [
        (False, False, Status.SUCCESS),
        (True, False, Status.CANCELED),
        (False, True, Status.TIMEOUT),
        (True, True, Status.CANCELED),
    ],
)
def test_an_interrupt_is_a_hint(
    bench: Bench,
    *,
    cancel: bool,
    deadline: bool,
    status: Status,
) -> None:
    """A signal stops the handler only if its own row asks for it."""
    before = signal.getsignal(signal.SIGINT)
    assert _interrupted(bench, cancel=cancel, deadline=deadline).status is status
    assert signal.getsignal(signal.SIGINT) is before


class Flaky:
    """A ``transaction`` that is away for a while, before or after it commits."""

    def __init__(self, fails: int, *, after_commit: bool) -> None:
        """Fail so many times."""
        self.fails = fails
        self.after_commit = after_commit

    @contextmanager
    def __call__(self, engine: Engine) -> Iterator[Connection]:
        """Open a transaction, or fail."""
        fail = self.fails > 0
        self.fails -= 1
        if fail and not self.after_commit:
            raise StoreUnavailable("away")
        with engine.begin() as connection:
            yield connection
        if fail:
            raise StoreUnavailable("the answer to COMMIT was lost")


@pytest.mark.parametrize("after_commit", [False, True])
def test_the_end_is_written_when_the_store_is_back(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    *,
    after_commit: bool,
) -> None:
    """An outage at the end costs no attempt, also when the commit had gone through."""
    fails = 1 if after_commit else 20

    def work(_context: HandlerContext, _params: Free) -> str:
        monkeypatch.setattr(patience, "transaction", Flaky(fails, after_commit=after_commit))
        return "done"

    outcome = bench.run(work, timeout_seconds=60)
    assert outcome.status is Status.SUCCESS
    assert bench.jobs.row(outcome.execution_id).result == "done"
    assert bench.exits == []


def test_at_the_deadline_a_lost_store_is_given_up(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Later the supervisor has ended the attempt anyway."""

    def work(_context: HandlerContext, _params: Free) -> None:
        monkeypatch.setattr(patience, "transaction", Flaky(10_000, after_commit=False))

    with pytest.raises(StoreUnavailable):
        bench.run(work, timeout_seconds=60)
    assert 60 < bench.clock.monotonic() < 65


def test_the_workers_stamp_comes_before_everything(bench: Bench) -> None:
    """Run, worker and heartbeat are on the row while it still is QUEUED."""
    batch = bench.jobs.queued()
    assert stamp_launch(bench.jobs.engine, batch.token, run_id="r", worker_id="w") == 1
    row = bench.jobs.row(batch.execution_ids[0])
    assert (row.status, row.run_id, row.worker_id) == (Status.QUEUED, "r", "w")
