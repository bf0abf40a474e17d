"""Dagster and Celery as the engine meets them: runs, their queue, the workers' task queue.

What is here is durable (Dagster's tables), but for ``tasks``: Celery's queue may be
lost. Behaviour as measured in docs/adr/0010 and 0011.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import psycopg

from jobu_core.errors import StoreUnavailable
from jobu_core.execution.cancel import request_cancel_of_run
from jobu_core.execution.health import RunHealth, run_health
from jobu_core.runs import RunState, RunView

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from jobu_core.models import LaunchBatch
    from tests.simulation.actors import Stage
    from tests.simulation.store import SimulatedStore

ENDED: Final = frozenset({RunState.SUCCESS, RunState.FAILURE, RunState.CANCELED})
IN_PROGRESS: Final = frozenset({RunState.STARTING, RunState.STARTED, RunState.CANCELING})
START_TIMEOUT_SECONDS: Final = 60.0
CANCEL_TIMEOUT_SECONDS: Final = 15.0
MAX_CONCURRENT_RUNS: Final = 4

_BY_HAND: Final = UUID("5c7bb1d2-52f0-4b0e-8a53-0f6c9f2f7a11")


@dataclass
class Run:
    """One run of Dagster; ``by_hand`` are the params of a Launchpad run."""

    id: str
    token: UUID | None
    execution_ids: tuple[int, ...]
    state: RunState = RunState.NOT_STARTED
    changed_at: float = 0.0
    submissions: int = 0
    tasks: int = 0
    """How often it was sent to the workers."""
    by_hand: Mapping[str, Any] | None = None


@dataclass
class Carrier:
    """The carrier's truth, and the RunGateway that every process of jobu has."""

    stage: Stage
    store: SimulatedStore
    report: Callable[[str], None]
    """Told of what must never happen."""
    runs: dict[str, Run] = field(default_factory=dict)
    queue: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    """Celery's queue of run ids; disposable by design."""
    unsubmitted: list[LaunchBatch] = field(default_factory=list)
    """Run requests of sensor ticks that Dagster has stored and not yet made good."""

    def runs_of(self, tokens: Collection[UUID]) -> Mapping[UUID, RunView]:
        """Return the first run of each token."""
        self._reach("runs_of")
        found = {token: self.runs.get(str(token)) for token in tokens}
        return {token: RunView(run.id, self._seen(run)) for token, run in found.items() if run}

    def states(self, run_ids: Collection[str]) -> Mapping[str, RunState]:
        """Return the state of each run that exists."""
        self._reach("states")
        known = [self.runs[run_id] for run_id in run_ids if run_id in self.runs]
        return {run.id: self._seen(run) for run in known}

    def launch(self, batch: LaunchBatch) -> str:
        """Make the run and send it to the workers; a repeated token does nothing."""
        self._reach("launch")
        run_id = str(batch.token)
        if run_id in self.runs:
            return run_id
        run = self.make(batch)
        self._reach("launch.created")
        self._send(run)
        self.stage.point("launch.sent")
        return run_id

    def report_canceling(self, run_id: str, message: str) -> None:
        """Mark an unfinished run as being canceled."""
        self._change(run_id, RunState.CANCELING, message)

    def report_canceled(self, run_id: str, message: str) -> None:
        """Mark an unfinished run as canceled."""
        self._change(run_id, RunState.CANCELED, message)

    def report_failed(self, run_id: str, message: str) -> None:
        """Mark an unfinished run as failed."""
        self._change(run_id, RunState.FAILURE, message)

    def make(self, batch: LaunchBatch) -> Run:
        """Create the run of a launch, NOT_STARTED."""
        run = Run(str(batch.token), batch.token, batch.execution_ids, changed_at=self.stage.now())
        self.runs[run.id] = run
        return run

    def make_by_hand(self, params: Mapping[str, Any]) -> None:
        """Queue a run that a person started in the Launchpad."""
        run_id = str(uuid5(_BY_HAND, str(len(self.runs))))
        self.runs[run_id] = Run(run_id, None, (), changed_at=self.stage.now(), by_hand=params)
        self.submit(self.runs[run_id])

    def submit(self, run: Run) -> None:
        """Put a run into Dagster's queue; ever to be done once."""
        run.submissions += 1
        if run.submissions > 1:
            self.report(f"run {run.id} was submitted {run.submissions} times")
        self.settle(run, RunState.QUEUED)
        self.queue.append(run.id)

    def request(self, batches: Sequence[LaunchBatch]) -> None:
        """Do with a tick's run requests what the daemon does: store, create, submit."""
        self.stage.point("daemon.tick_ended")
        self.unsubmitted += batches
        for batch in batches:
            self.make_good(batch)

    def make_good(self, batch: LaunchBatch) -> None:
        """Create and submit one requested run, also long after its tick."""
        self._reach("daemon.reserved")
        run = self.runs.get(str(batch.token)) or self.make(batch)
        self._reach("daemon.created")
        if run.state is RunState.NOT_STARTED:
            self.submit(run)
        self.unsubmitted = [other for other in self.unsubmitted if other.token != batch.token]

    def dequeue(self) -> None:
        """Send queued runs to the workers, as far as Dagster's limit goes."""
        busy = sum(run.state in IN_PROGRESS for run in self.runs.values())
        while self.queue and busy < MAX_CONCURRENT_RUNS:
            self._reach("dequeue")
            run = self.runs[self.queue.pop(0)]
            if run.state is RunState.QUEUED:
                self._send(run)
                busy += 1

    def monitor(self) -> None:
        """Fail runs that never start, and those that their worker has left."""
        now = self.stage.now()
        for run in list(self.runs.values()):
            age = now - run.changed_at
            waits = run.state in {RunState.NOT_STARTED, RunState.STARTING}
            if waits and age > START_TIMEOUT_SECONDS:
                self.report_failed(run.id, "start timeout")
            elif run.state is RunState.CANCELING and age > CANCEL_TIMEOUT_SECONDS:
                self.report_canceled(run.id, "cancel timeout")
            elif run.state is RunState.STARTED and self._is_lost(run, age):
                self.report_failed(run.id, "its worker is gone")

    def terminate(self, run: Run) -> None:
        """Do what the UI's button does."""
        self._reach("terminate")
        before = run.state
        if before not in {RunState.QUEUED, RunState.STARTED}:
            return
        waits = before is RunState.QUEUED
        self.settle(run, RunState.CANCELED if waits else RunState.CANCELING)
        self.stage.point("terminate: run canceling")
        token = None if run.token is None else str(run.token)
        engine = self.store.engine
        if not request_cancel_of_run(engine, run.id, token=token, reason="terminated in Dagster"):
            self.report_canceled(run.id, "no execution was left")

    def settle(self, run: Run, state: RunState) -> None:
        """Write a run's state."""
        run.state, run.changed_at = state, self.stage.now()

    def _seen(self, run: Run) -> RunState:
        """Return a run's state; a starting one that no queue holds is stranded."""
        stranded = run.state is RunState.STARTING and run.id not in self.tasks
        return RunState.STRANDED if stranded else run.state

    def _is_lost(self, run: Run, age: float) -> bool:
        report = run_health(self.store.engine, run.id, lease_seconds=30, rowless_seconds=age)
        return report.verdict is RunHealth.LOST

    def _send(self, run: Run) -> None:
        run.tasks += 1
        if run.tasks > 1:
            self.report(f"run {run.id} was sent to the workers {run.tasks} times")
        self.settle(run, RunState.STARTING)
        self.tasks.append(run.id)

    def _change(self, run_id: str, state: RunState, message: str) -> None:
        self._reach(message)
        run = self.runs.get(run_id)
        if run is not None and run.state not in ENDED:
            self.settle(run, state)

    def _reach(self, where: str) -> None:
        """Dagster's tables are in the same server as the job store."""
        self.stage.point(f"carrier: {where}")
        if self.store.is_down and self.stage.current is not None:
            raise StoreUnavailable("Dagster's storage is away") from psycopg.OperationalError()
