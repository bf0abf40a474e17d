"""What goes on after a crash: a reconciler, launches and another worker, until all is settled."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jobu_core.clock import ManualClock
from jobu_core.dispatcher.launch import claim_due
from jobu_core.dispatcher.reconcile import Reconciler
from jobu_core.execution.committed import committed_result
from jobu_core.models import LaunchBatch, ParamSource
from jobu_core.runs import RunState
from tests.crash.audit import unsettled
from tests.crash.children import start
from tests.crash.site import FIRST_WORKER, Site, carry_out, deaf
from tests.fix_store_time import StoreTime
from tests.launch_support import Jobs
from tests.load_bench import Bench, items, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from jobu_core.execution.runtime import ExecutionRuntime
    from jobu_core.models import Execution

SECOND_WORKER = "second:1"
_STEP_SECONDS = 5.0
_MOST_STEPS = 200
LOAD: Mapping[str, object] = {"input_path": "/data/rows.parquet", "target_table": "items"}


class Aftermath:
    """The part of the system that lives on, on clocks that the test moves."""

    def __init__(self, site: Site, runtime: ExecutionRuntime, now: StoreTime) -> None:
        """Start with nothing launched."""
        self.site = site
        self.runtime = runtime
        self.jobs = Jobs(runtime.engine)
        self.target = Bench(site.url, site.root)
        self.now = now
        self.clock = ManualClock()
        self._children = ExitStack()
        self.reconciler = Reconciler(
            runtime.engine,
            runtime.registry,
            runtime.settings,
            site.runs,
            self.clock,
            committed=partial(committed_result, runtime),
        )

    def launched(
        self,
        handler: str = "sample_handler",
        rows: int = 1,
        **values: Any,  # noqa: ANN401 - any field of NewExecution
    ) -> LaunchBatch:
        """Insert rows and launch them in one run, which a worker has begun."""
        ids = [self.jobs.add(handler_name=handler, **values) for _ in range(rows)]
        self.beat(FIRST_WORKER)
        batches = self.claim()
        claimed = [row_id for batch in batches for row_id in batch.execution_ids]
        assert sorted(claimed) == ids
        token = batches[0].token
        for row_id in ids:
            self.jobs.change(row_id, lease_token=token)
        self.site.runs.add(token, RunState.STARTED, str(token))
        return LaunchBatch(token, handler, tuple(ids), ParamSource.EVENT)

    def running(self, batch: LaunchBatch, **columns: Any) -> dict[str, int]:  # noqa: ANN401 - any column
        """Let a child begin the first row of a launch; return its pid by run id.

        ``columns`` are written to that row afterwards.
        """
        run_id = str(batch.token)
        self.jobs.stamp(batch, run_id=run_id, worker_id=FIRST_WORKER)
        assert self.jobs.start(batch, run_id=run_id, worker_id=FIRST_WORKER) is not None
        if columns:
            self.jobs.change(batch.execution_ids[0], **columns)
        ready = self.site.root / f"ready-{run_id}"
        child = self.child(deaf, ready)
        wait_until(ready.exists)
        assert child.pid is not None
        return {run_id: child.pid}

    def child(self, action: Callable[..., object], *arguments: object) -> BaseProcess:
        """Do ``action`` in a process of its own, which is killed at the latest with the test."""
        child = start(action, *arguments)
        self._children.callback(child.join)
        self._children.callback(child.kill)
        return child

    def lose_children(self) -> None:
        """Let the worker's children die, as they do with their main process."""
        self._children.close()

    def load_target(self) -> None:
        """Lay ten rows out as a file, and make the empty table that they go to."""
        self.target.folder = self.site.root / "data"
        self.target.file(items(10))
        self.target.run("CREATE TABLE items (id bigint, name text, value double precision)")

    def settle(self) -> None:
        """Reconcile, launch and execute until every row has ended."""
        for _ in range(_MOST_STEPS):
            self.reconciler.tick()
            self.beat(SECOND_WORKER)
            for batch in self.claim():
                run_id = self.site.runs.launch(batch)
                state = carry_out(self.runtime, batch, run_id=run_id, worker_id=SECOND_WORKER)
                self.site.runs.end(run_id, state)
            with self.runtime.engine.connect() as connection:
                left = unsettled(connection)
            if not left:
                return
            self.wait(_STEP_SECONDS)
        pytest.fail(f"it never came to rest: {left}")

    def wait(self, seconds: float) -> None:
        """Let time pass for the store and for the reconciler."""
        self.now.forward(seconds=seconds)
        self.clock.advance(seconds)

    def rows(self, batch: LaunchBatch) -> list[Execution]:
        """Return the rows of a launch as they are now."""
        return [self.jobs.row(row_id) for row_id in batch.execution_ids]

    def claim(self) -> tuple[LaunchBatch, ...]:
        """Turn what is due into launches."""
        return claim_due(
            self.runtime.engine,
            handlers=self.runtime.registry.names,
            settings=self.runtime.settings.dispatcher.launch,
            code_version=self.runtime.registry.code_version,
            lease_seconds=self.runtime.settings.worker.lease_seconds,
        ).batches

    def beat(self, worker_id: str) -> None:
        """Let a worker say that it lives and has slots."""
        self.jobs.worker(worker_id, slots=100, code_version=self.runtime.registry.code_version)


@pytest.fixture
def aftermath(database_url: str, tmp_path: Path) -> Iterator[Aftermath]:
    """Return a system in which nothing has happened."""
    site = Site(database_url, tmp_path)
    site.lay_out()
    with site.opened() as runtime:
        now = StoreTime(datetime.now(UTC))
        sa.event.listen(runtime.engine, "begin", now.apply)
        system = Aftermath(site, runtime, now)
        yield system
        system.lose_children()
