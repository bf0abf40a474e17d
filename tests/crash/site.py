"""A project as every process of a crash case opens it: store, handlers, runs, work folder."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from jobu_core.config import (
    DatasetSettings,
    DispatcherSettings,
    HandlersSettings,
    LaunchSettings,
    Settings,
    WorkerSettings,
)
from jobu_core.execution.batch import run_batch
from jobu_core.execution.claim import stamp_launch
from jobu_core.execution.committed import committed_result
from jobu_core.execution.run import Attempt, Outcome
from jobu_core.execution.runtime import ExecutionRuntime
from jobu_core.execution.supervisor import ActiveTask, Supervisor, WorkerIdentity
from jobu_core.handlers.base import StagedHandler
from jobu_core.handlers.registry import load_registry
from jobu_core.pipeline.paths import Paths
from jobu_core.pipeline.places.buckets import Buckets
from jobu_core.runs import RunState
from jobu_core.store.engine import open_engine, transaction
from jobu_core.store.meta import read_installation
from tests.attempt_support import MemorySink
from tests.crash.kept_runs import KeptRuns
from tests.handler_bench import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from uuid import UUID

    from jobu_core.config import BucketSettings
    from jobu_core.models import LaunchBatch

FIRST_WORKER = "first:1"
"""The worker that dies."""

LIMITS = WorkerSettings(lease_seconds=5, cancel_grace_seconds=0.01)
"""One step of the aftermath is a lease, so that few steps tell a dead worker."""

DATASET = DatasetSettings(
    input="/data/raw/sample.csv",
    model="SampleRecord",
    target="default.public.sample",
    mode="replace",
)


@dataclass(frozen=True)
class Site:
    """Where everything is; can be sent to another process."""

    url: str
    root: Path
    buckets: Mapping[str, BucketSettings] = field(default_factory=dict, kw_only=True)
    """Of S3, where a case has one."""

    def lay_out(self) -> None:
        """Put the sample's input in its place."""
        raw = self.root / "data" / "raw"
        raw.mkdir(parents=True)
        shutil.copy(SAMPLE, raw / "sample.csv")

    @property
    def runs(self) -> KeptRuns:
        """The runs that the carrier knows, the same for every process."""
        return KeptRuns(self.root / "runs.json")

    @contextmanager
    def opened(self) -> Iterator[ExecutionRuntime]:
        """Open what attempts use, with connections of this process's own."""
        handlers = HandlersSettings(
            modules=("tests.crash.crash_handlers",),
            free_tables=("default.public.*",),
        )
        engine = open_engine(self.url)
        with transaction(engine) as connection:
            installation = read_installation(connection)
        yield ExecutionRuntime(
            engine=engine,
            settings=Settings(root=self.root, worker=LIMITS),
            registry=load_registry(handlers, {"sample": DATASET}),
            paths=Paths({"/data": "data"}, self.root, Buckets(self.buckets)),
            databases={"default": self.url},
            installation=installation,
        )
        engine.dispose()


def execute(site: Site, batch: LaunchBatch, worker_id: str = FIRST_WORKER) -> None:
    """Do what a worker's child does with a launch, from the stamp to the last row's end."""
    with site.opened() as runtime:
        carry_out(runtime, batch, run_id=str(batch.token), worker_id=worker_id)


def execute_slowly(site: Site, batch: LaunchBatch) -> None:
    """Execute a launch whose first row takes all the time that the launch may have."""
    launch = LaunchSettings(batch_seconds=1e-9)
    with site.opened() as runtime:
        settings = runtime.settings.model_copy(
            update={"dispatcher": DispatcherSettings(launch=launch)},
        )
        slow = replace(runtime, settings=settings)
        carry_out(slow, batch, run_id=str(batch.token), worker_id=FIRST_WORKER)


def supervise(site: Site, held: Mapping[str, int]) -> None:
    """Be the main process of a worker whose children (pid by run id) execute these runs."""
    with site.opened() as runtime:
        supervisor, pause = _supervisor(site, runtime, held), Event()
        while not pause.wait(0.01):
            supervisor.step()


def shut_down(site: Site, held: Mapping[str, int]) -> None:
    """Be a worker's main process that was told to end."""
    with site.opened() as runtime:
        supervisor = _supervisor(site, runtime, held)
        supervisor.step()
        supervisor.hand_back()


def deaf(ready: Path) -> None:
    """Be a worker's child that answers to nothing but SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ready.touch()
    Event().wait(600)


def _supervisor(site: Site, runtime: ExecutionRuntime, held: Mapping[str, int]) -> Supervisor:
    return Supervisor(
        runtime.engine,
        runtime.settings.worker,
        WorkerIdentity(FIRST_WORKER, "first", os.getpid(), 2, runtime.registry.code_version),
        lambda: [ActiveTask(run_id, pid) for run_id, pid in held.items()],
        site.runs,
        committed=partial(committed_result, runtime),
    )


def carry_out(
    runtime: ExecutionRuntime,
    batch: LaunchBatch,
    *,
    run_id: str,
    worker_id: str,
) -> RunState:
    """Stamp, claim and run every row of a launch; return how its run ends."""
    stamp_launch(runtime.engine, batch.token, run_id=run_id, worker_id=worker_id)
    sink = MemorySink()

    def begin(execution_id: int, token: UUID) -> Attempt | None:
        return Attempt.begin(
            runtime,
            execution_id,
            token,
            run_id=run_id,
            worker_id=worker_id,
            exit_process=os._exit,
        )

    rows = [(execution_id, batch.token) for execution_id in batch.execution_ids]
    handler = runtime.registry.get(batch.handler)
    if isinstance(handler, StagedHandler):
        outcomes = [_run_stages(begin(*row), handler, sink) for row in rows]
    else:
        outcomes = run_batch(runtime, rows, begin, sink)
    return RunState.SUCCESS if all(outcome.ok for outcome in outcomes) else RunState.FAILURE


def _run_stages(attempt: Attempt | None, handler: StagedHandler, sink: MemorySink) -> Outcome:
    assert attempt is not None
    told = (attempt.run_stage(stage, sink) for stage in handler.stages)
    return next(outcome for outcome in told if outcome is not None)
