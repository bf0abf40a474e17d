"""What one process opens once and keeps: engine, registry, ingest, reconciler.

Dagster calls schedules, sensors and ops as bare functions; this is the one place
where state outlives such a call. Keyed by pid: a forked child never uses what
its parent opened.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from jobu_core.clock import SystemClock
from jobu_core.dispatcher.queue.adapter.reader import make_reader
from jobu_core.dispatcher.queue.ingest import Ingest
from jobu_core.dispatcher.reconcile import Reconciler
from jobu_core.execution.committed import committed_result
from jobu_core.execution.runtime import ExecutionRuntime
from jobu_core.pipeline.paths import Paths
from jobu_core.services.ensure import ensure_kafka
from jobu_core.services.runtime import Runtime, database_urls, open_runtime
from jobu_core.store.engine import transaction
from jobu_core.store.meta import read_installation
from jobu_dagster.runs import DagsterRunGateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import DagsterInstance


class Process:
    """The long-lived resources of this process, opened when first asked for."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self.pid = os.getpid()
        self._lock = threading.RLock()
        self._stack = ExitStack()
        self._runtime: Runtime | None = None
        self._execution: ExecutionRuntime | None = None
        self._ingest: Ingest | None = None
        self._reconciler: Reconciler | None = None

    def runtime(self) -> Runtime:
        """Return settings, engine and registry."""
        with self._lock:
            if self._runtime is None:
                self._runtime = self._stack.enter_context(
                    open_runtime(application_name=f"jobu-dagster:{self.pid}"),
                )
            return self._runtime

    def execution(self) -> ExecutionRuntime:
        """Return what attempts use: engine, handlers, paths, database URLs."""
        with self._lock:
            if self._execution is None:
                runtime = self.runtime()
                with transaction(runtime.engine) as connection:
                    installation = read_installation(connection)
                self._execution = ExecutionRuntime(
                    engine=runtime.engine,
                    settings=runtime.settings,
                    registry=runtime.registry,
                    paths=Paths.of(runtime.settings),
                    databases=database_urls(runtime.settings),
                    installation=installation,
                )
            return self._execution

    def ingest(self) -> Ingest:
        """Return the ingest of the configured topic, its consumer warm."""
        with self._lock:
            if self._ingest is None:
                runtime = self.runtime()
                ensure_kafka(runtime.settings)
                self._ingest = self._stack.enter_context(
                    Ingest(
                        runtime.engine,
                        runtime.registry,
                        runtime.settings,
                        make_reader(runtime.settings, runtime.endpoints.kafka_bootstrap),
                        SystemClock(),
                    ),
                )
            return self._ingest

    @contextmanager
    def ingest_turn(self) -> Iterator[Ingest]:
        """Lend the ingest for one tick; its lock goes back, its consumer stays warm."""
        ingest = self.ingest()
        try:
            yield ingest
        finally:
            ingest.release()

    def reconciler(self, instance: DagsterInstance) -> Reconciler:
        """Return the reconciler, whose memory of heartbeats spans its ticks."""
        with self._lock:
            if self._reconciler is None:
                runtime = self.runtime()
                self._reconciler = Reconciler(
                    runtime.engine,
                    runtime.registry,
                    runtime.settings,
                    DagsterRunGateway(instance, runtime.settings.root, runtime.registry),
                    SystemClock(),
                    committed=partial(committed_result, self.execution()),
                )
            return self._reconciler

    def close(self) -> None:
        """Close what was opened; the next use opens it again."""
        with self._lock:
            self._stack.close()
            self._stack = ExitStack()
            self._runtime = self._execution = self._ingest = self._reconciler = None


_current: Process | None = None
_guard = threading.Lock()


def process() -> Process:
    """Return this process's resources; a forked child gets its own."""
    global _current  # noqa: PLW0603 - see the module's first line
    with _guard:
        if _current is None or _current.pid != os.getpid():
            _current = Process()
        return _current
