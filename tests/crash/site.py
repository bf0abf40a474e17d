"""A project as every process of a crash case opens it: store, handlers, runs, work folder."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobu_core.config import DatasetSettings, HandlersSettings, Settings, WorkerSettings
from jobu_core.execution.claim import stamp_launch
from jobu_core.execution.run import Attempt, Outcome
from jobu_core.execution.runtime import ExecutionRuntime
from jobu_core.handlers.base import StagedHandler
from jobu_core.handlers.registry import load_registry
from jobu_core.pipeline.paths import Paths
from jobu_core.runs import RunState
from jobu_core.store.engine import open_engine, transaction
from jobu_core.store.meta import read_installation
from tests.attempt_support import MemorySink
from tests.crash.kept_runs import KeptRuns
from tests.handler_bench import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
            paths=Paths({"/data": "data"}, self.root),
            databases={"default": self.url},
            installation=installation,
        )
        engine.dispose()


def execute(site: Site, batch: LaunchBatch, worker_id: str = FIRST_WORKER) -> None:
    """Do what a worker's child does with a launch, from the stamp to the last row's end."""
    with site.opened() as runtime:
        carry_out(runtime, batch, run_id=str(batch.token), worker_id=worker_id)


def carry_out(
    runtime: ExecutionRuntime,
    batch: LaunchBatch,
    *,
    run_id: str,
    worker_id: str,
) -> RunState:
    """Stamp, claim and run every row of a launch; return how its run ends."""
    stamp_launch(runtime.engine, batch.token, run_id=run_id, worker_id=worker_id)
    state = RunState.SUCCESS
    for execution_id in batch.execution_ids:
        attempt = Attempt.begin(
            runtime,
            execution_id,
            batch.token,
            run_id=run_id,
            worker_id=worker_id,
            exit_process=os._exit,
        )
        if attempt is not None and not _run(attempt).ok:
            state = RunState.FAILURE
    return state


def _run(attempt: Attempt) -> Outcome:
    handler = attempt.runtime.registry.get(attempt.execution.handler_name)
    sink = MemorySink()
    if not isinstance(handler, StagedHandler):
        return attempt.run(sink)
    outcomes = (attempt.run_stage(stage, sink) for stage in handler.stages)
    return next(outcome for outcome in outcomes if outcome is not None)
