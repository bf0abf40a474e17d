"""A worker's claim, work and finish with the connection to the job store cut at every message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.errors import Outage
from jobu_core.execution.cancel import cancel_execution
from jobu_core.handlers.base import Retry
from jobu_core.handlers.functions import FunctionHandler
from jobu_core.models import Status
from jobu_core.store.engine import open_engine
from tests.attempt_support import Bench, Left, Number
from tests.launch_support import Jobs
from tests.outage.sweep import cut_everywhere

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from jobu_core.handlers.base import HandlerContext
    from tests.fix_proxy import Proxy


@pytest.fixture
def bench_by_proxy(proxy: Proxy, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    """Return a worker's child whose job store is behind the proxy."""
    opened = open_engine(proxy.url(database_url))
    yield Bench(opened, tmp_path)
    opened.dispose()


@pytest.mark.rule(10, 14, 18)
def test_an_only_attempt_survives_every_cut(
    engine: Engine,
    bench_by_proxy: Bench,
    proxy: Proxy,
) -> None:
    """Cut at claim, progress, lease check or finish: one attempt, run once, SUCCESS."""
    sound, done = Jobs(engine), []

    def work(context: HandlerContext, params: Number) -> int:
        context.progress({"step": 1})
        context.check_lease()
        done.append(context.execution_id)
        return params.number

    def act() -> None:
        batch = sound.queued(params={"number": 7}, max_attempts=1)
        rows.append(batch.execution_ids[0])
        bench_by_proxy.begin(FunctionHandler.wrap("echo", work), batch).run(bench_by_proxy.sink)

    def settle() -> None:
        row = sound.row(rows[-1])
        assert (row.status, row.attempt, row.result) == (Status.SUCCESS, 1, 7)
        assert done == rows

    rows: list[int] = []
    assert cut_everywhere(proxy, act, settle) > 20


@pytest.mark.rule(10, 14)
def test_an_attempt_that_shall_be_repeated_is_counted_once(
    engine: Engine,
    bench_by_proxy: Bench,
    proxy: Proxy,
) -> None:
    """The return to PENDING is written once; its owner, in doubt, may only leave."""
    sound = Jobs(engine)
    row_id = 0

    def work(_context: HandlerContext, _params: Number) -> None:
        raise Retry(after=100)

    def act() -> None:
        nonlocal row_id
        batch = sound.queued(params={"number": 7}, max_attempts=2)
        row_id = batch.execution_ids[0]
        try:
            attempt = bench_by_proxy.begin(FunctionHandler.wrap("echo", work), batch)
            attempt.run(bench_by_proxy.sink)
        except Left:
            return

    def settle() -> None:
        row = sound.row(row_id)
        assert (row.status, row.reason, row.attempt) == (Status.PENDING, "retry", 1)

    assert cut_everywhere(proxy, act, settle) > 10


@pytest.mark.rule(13)
def test_a_cancel_that_was_cut_can_be_asked_again(
    engine: Engine,
    bench_by_proxy: Bench,
    proxy: Proxy,
) -> None:
    """The person sees an outage, asks again, and the row is canceled by one of both."""
    sound = Jobs(engine)
    row_id = 0

    def act() -> None:
        nonlocal row_id
        row_id = sound.add()
        cancel_execution(bench_by_proxy.jobs.engine, row_id, who="anna", reason="first")

    def settle() -> None:
        row = sound.row(row_id)
        if row.status is Status.PENDING:
            cancel_execution(engine, row_id, who="anna", reason="second")
            row = sound.row(row_id)
        assert row.status is Status.CANCELED
        assert row.cancel_reason in {"first", "second"}

    assert cut_everywhere(proxy, act, settle) > 5


@pytest.mark.rule(18)
def test_a_store_that_stays_away_ends_an_attempt_at_its_deadline(
    engine: Engine,
    bench_by_proxy: Bench,
    proxy: Proxy,
) -> None:
    """Finish is tried until then, not longer; the row stays for the reconciler."""
    sound = Jobs(engine)

    def work(_context: HandlerContext, params: Number) -> int:
        proxy.refuse()
        return params.number

    batch = sound.queued(params={"number": 7}, timeout_seconds=30)
    attempt = bench_by_proxy.begin(FunctionHandler.wrap("echo", work), batch)
    with pytest.raises(Outage):
        attempt.run(bench_by_proxy.sink)
    assert 30 <= bench_by_proxy.clock.monotonic() < 33
    assert sound.row(batch.execution_ids[0]).status is Status.RUNNING
