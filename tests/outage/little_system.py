"""Two of everything, as threads: ingests, launchers, reconcilers, workers with supervisors.

A thread does what its process does, with an engine of its own; an attempt that loses
its job store for good is dropped, as if its child had died.
"""

from __future__ import annotations

import queue
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from jobu_core.clock import SystemClock
from jobu_core.config import DispatcherSettings, LaunchSettings, Settings, WorkerSettings
from jobu_core.dispatcher.launch import claim_due
from jobu_core.dispatcher.queue.adapter.memory import MemoryAdapter, MemoryBroker
from jobu_core.dispatcher.queue.ingest import Ingest
from jobu_core.dispatcher.reconcile import Reconciler
from jobu_core.errors import FenceLost, Outage
from jobu_core.execution.claim import stamp_launch
from jobu_core.execution.run import Attempt
from jobu_core.execution.runtime import ExecutionRuntime
from jobu_core.execution.supervisor import ActiveTask, Supervisor, WorkerIdentity
from jobu_core.handlers.functions import FunctionHandler
from jobu_core.handlers.registry import Registry
from jobu_core.pipeline.paths import Paths
from jobu_core.store.engine import open_engine
from tests.attempt_support import Free, Left, MemorySink
from tests.fix_events import GROUP, TOPIC
from tests.fix_runs import MemoryRuns
from tests.launch_support import VERSION, Catalog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Engine

    from jobu_core.handlers.base import HandlerContext
    from jobu_core.models import LaunchBatch

_PAUSE_SECONDS = 0.02


def settings_for(root: Path) -> Settings:
    """Return short leases and no pauses: an orphan is back within two seconds."""
    return Settings(
        root=root,
        worker=WorkerSettings(
            heartbeat_seconds=0.2,
            lease_seconds=2,
            cancel_poll_seconds=0.1,
            retry_backoff_seconds=0,
            max_retry=50,
        ),
        dispatcher=DispatcherSettings(launch=LaunchSettings(launch_grace_seconds=1)),
    )


@dataclass
class LittleSystem:
    """Runs until it is closed; whatever escapes a thread is kept in ``bugs``."""

    url: str
    root: Path
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    runs: MemoryRuns = field(default_factory=MemoryRuns)
    bugs: list[BaseException] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    outages: int = 0

    def __post_init__(self) -> None:
        """Start nothing yet."""
        self.settings = settings_for(self.root)
        self._launched: queue.Queue[LaunchBatch] = queue.Queue()
        self._stop = threading.Event()
        self._stack = ExitStack()
        self._seen = 0
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start two of each."""
        for number in (1, 2):
            engine = open_engine(self.url, application_name=f"little-{number}")
            self._stack.callback(engine.dispose)
            tasks: list[ActiveTask] = []
            adapter = MemoryAdapter(self.broker, TOPIC, GROUP)
            ingest = Ingest(engine, Catalog(), self.settings, adapter)
            self._stack.callback(ingest.close)
            reconciler = Reconciler(engine, Catalog(), self.settings, self.runs, SystemClock())
            self._begin(partial(ingest.tick, 0.1))
            self._begin(partial(self._launch, engine))
            self._begin(reconciler.tick)
            self._begin(self._supervisor(engine, number, tasks).step)
            for slot in range(2):
                pid = 10_000_000 + 10 * number + slot
                self._begin(partial(self._work, engine, number, tasks, pid))

    def has_worked(self) -> bool:
        """Return whether an execution was done since this was asked last."""
        seen, self._seen = self._seen, len(self.done)
        return self._seen > seen

    def close(self) -> None:
        """End every thread."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        self._stack.close()

    def _begin(self, step: Callable[[], object]) -> None:
        thread = threading.Thread(target=self._repeat, args=(step,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, step: Callable[[], object]) -> None:
        while not self._stop.wait(_PAUSE_SECONDS):
            try:
                step()
            except Outage:
                self.outages += 1
            except BaseException as error:  # noqa: BLE001 - the test shows it
                self.bugs.append(error)
                return

    def _launch(self, engine: Engine) -> None:
        plan = claim_due(
            engine,
            handlers=("echo",),
            settings=self.settings.dispatcher.launch,
            code_version=VERSION,
            lease_seconds=self.settings.worker.lease_seconds,
        )
        for batch in plan.batches:
            self.runs.launch(batch)
            self._launched.put(batch)

    def _supervisor(self, engine: Engine, number: int, tasks: list[ActiveTask]) -> Supervisor:
        return Supervisor(
            engine,
            self.settings.worker,
            WorkerIdentity(f"host:{number}", "host", number, 2, VERSION),
            lambda: list(tasks),
            self.runs,
            kill=lambda _pid, _number: None,
        )

    def _work(self, engine: Engine, number: int, tasks: list[ActiveTask], pid: int) -> None:
        try:
            batch = self._launched.get(timeout=0.1)
        except queue.Empty:
            return
        task = ActiveTask(str(batch.token), pid)
        tasks.append(task)
        try:
            with suppress(Left, FenceLost):
                self._carry_out(engine, f"host:{number}", batch)
        finally:
            tasks.remove(task)

    def _carry_out(self, engine: Engine, worker_id: str, batch: LaunchBatch) -> None:
        run_id = str(batch.token)
        stamp_launch(
            engine,
            batch.token,
            run_id=run_id,
            worker_id=worker_id,
            patience_seconds=self.settings.worker.lease_seconds,
        )
        runtime = self._runtime(engine)
        for execution_id in batch.execution_ids:
            attempt = Attempt.begin(
                runtime,
                execution_id,
                batch.token,
                run_id=run_id,
                worker_id=worker_id,
                exit_process=_leave,
            )
            if attempt is not None:
                attempt.run(MemorySink())

    def _runtime(self, engine: Engine) -> ExecutionRuntime:
        handler = FunctionHandler.wrap("echo", self._echo)
        return ExecutionRuntime(
            engine=engine,
            settings=self.settings,
            registry=Registry({"echo": handler}, {}, {}, (), VERSION),
            paths=Paths({"/data": "data"}, self.root),
            databases={"default": self.url},
            installation="i",
        )

    def _echo(self, context: HandlerContext, _params: Free) -> int:
        context.progress({"seen": True})
        self.done.append(context.execution_id)
        return context.execution_id


def _leave(_code: int) -> None:
    raise Left
