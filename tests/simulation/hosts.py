"""The processes of a simulated installation: dispatchers, and workers with their children."""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from jobu_core.dispatcher.cron.dispatch import dispatch_handler
from jobu_core.dispatcher.launch import claim_due
from jobu_core.dispatcher.queue.ingest import Ingest
from jobu_core.dispatcher.reconcile import Reconciler
from jobu_core.errors import FenceLost, JobuError
from jobu_core.execution.adopt import adopt_params
from jobu_core.execution.batch import run_batch
from jobu_core.execution.claim import stamp_launch
from jobu_core.execution.committed import committed_result
from jobu_core.execution.retry import Backoff
from jobu_core.execution.run import Attempt
from jobu_core.execution.runtime import ExecutionRuntime
from jobu_core.execution.supervisor import ActiveTask, Supervisor, WorkerIdentity
from jobu_core.pipeline.paths import Paths
from jobu_core.runs import RunState
from tests.simulation.actors import Died, Process
from tests.simulation.carrier import ENDED
from tests.simulation.work import NAMES, Silence, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from jobu_core.models import Fence, LaunchBatch
    from tests.simulation.carrier import Run
    from tests.simulation.world import World

SLOTS: Final = 2


class Dispatcher:
    """A process that ingests, launches and reconciles; the daemon also ticks cron."""

    def __init__(self, world: World, name: str) -> None:
        """Open what such a process keeps between its ticks."""
        self.world = world
        self.process = Process(name, world.seconds)
        self.ingest = Ingest(
            world.store.engine,
            world.registry,
            world.settings,
            world.adapter(),
            world.clock,
        )
        self.reconciler = Reconciler(
            world.store.engine,
            world.registry,
            world.settings,
            world.carrier,
            world.clock,
            committed=partial(committed_result, runtime(world)),
            backoff=Backoff(random.Random(7)),  # noqa: S311 - a replay must jitter alike
        )

    def claim(self, handlers: Collection[str] = NAMES) -> Sequence[LaunchBatch]:
        """Claim due rows of some handlers."""
        plan = claim_due(
            self.world.store.engine,
            handlers=handlers,
            settings=self.world.settings.dispatcher.launch,
            code_version=self.world.registry.code_version,
            lease_seconds=self.world.settings.worker.lease_seconds,
        )
        return plan.batches

    def cron(self, handler: str) -> None:
        """Run one tick of a schedule."""
        world = self.world
        dispatch_handler(
            world.store.engine,
            world.registry,
            world.settings.dispatcher,
            handler_name=handler,
            scheduled_time=None,
        )
        world.carrier.request(self.claim([handler]))

    def events(self) -> None:
        """Run one tick of the event sensor: the lock goes back after it."""
        with self.ingest:
            self.ingest.tick(0.0)
        self.world.carrier.request(self.claim())

    def events_for_long(self) -> None:
        """Run one pass of the long-lived dispatcher, which launches by itself."""
        self.ingest.tick(0.0)
        for batch in self.claim():
            self.world.carrier.launch(batch)

    def reconcile(self) -> None:
        """Look once."""
        try:
            self.reconciler.tick()
        except JobuError:
            self.process.failed_look_at = self.world.seconds
            raise


@dataclass
class Child:
    """One prefork child: a pid, what it does, and the signals it has not seen yet."""

    pid: int
    process: Process
    run_id: str | None = None
    fence: Fence | None = None
    """What the attempt it executes writes with."""
    must_exit: bool = False
    """A write of it was refused: it may do nothing more."""
    signals: list[int] = field(default_factory=list)
    handlers: dict[int, Any] = field(default_factory=dict)


@dataclass
class Worker:
    """A worker host: Celery's main process with its supervisor, and the children."""

    world: World
    main_pid: int
    process: Process = field(init=False)
    children: list[Child] = field(default_factory=list)
    supervisor: Supervisor = field(init=False)
    frozen_until: float = 0.0
    """Until then its supervisor gets no time to run."""

    def __post_init__(self) -> None:
        """Start the main process and fork the children."""
        world = self.world
        self.process = Process(f"worker{self.main_pid}", world.seconds)
        self.runtime = runtime(world)
        identity = WorkerIdentity(
            f"host:{self.main_pid}",
            "host",
            self.main_pid,
            SLOTS,
            world.registry.code_version,
        )
        self.supervisor = Supervisor(
            world.store.engine,
            world.settings.worker,
            identity,
            self.tasks,
            world.carrier,
            world.clock,
            kill=self.kill,
            backoff=Backoff(random.Random(8)),  # noqa: S311 - a replay must jitter alike
            committed=partial(committed_result, self.runtime),
        )
        self.refill()

    def refill(self) -> None:
        """Fork a new child for each that has ended, as Celery's pool does."""
        self.children = [child for child in self.children if child.process.is_alive]
        while self.process.is_alive and len(self.children) < SLOTS:
            pid = self.world.next_pid()
            self.children.append(Child(pid, Process(f"child{pid}", self.world.seconds)))

    def tasks(self) -> Sequence[ActiveTask]:
        """Return what the children are doing, as Celery's main process knows it."""
        return [
            ActiveTask(child.run_id, child.pid)
            for child in self.children
            if child.process.is_alive and child.run_id is not None
        ]

    def kill(self, pid: int, number: int) -> None:
        """Send a signal; a SIGKILL may only hit an attempt that is void."""
        self.world.stage.point("kill")
        child = next((one for one in self.children if one.pid == pid), None)
        if child is None or not child.process.is_alive:
            raise ProcessLookupError(pid)
        if number != signal.SIGKILL:
            child.signals.append(number)
            return
        if child.fence is not None and self.world.owns(child.fence):
            self.world.report(
                f"SIGKILL hit the innocent attempt {child.fence.attempt}"
                f" of execution {child.fence.execution_id}",
            )
        self.world.stage.kill(child.process)

    def take_task(self, child: Child) -> None:
        """Execute the next run of Celery's queue, acknowledged before it begins."""
        world = self.world
        run = world.carrier.runs[world.carrier.tasks.pop(0)]
        child.run_id = run.id
        if child.must_exit:
            world.report(f"child {child.pid} took another task after a write was refused")
        try:
            if run.token is not None:
                worker_id = self.supervisor.identity.id
                stamp_launch(world.store.engine, run.token, run_id=run.id, worker_id=worker_id)
            world.stage.point("child: stamped")
            if run.state in ENDED:
                return
            if run.state is RunState.CANCELING:
                world.carrier.settle(run, RunState.CANCELED)
                return
            world.carrier.settle(run, RunState.STARTED)
            self._execute(child, run)
        except FenceLost:
            child.must_exit = True  # nothing of this process may act any more
            raise
        except JobuError:
            world.carrier.settle(run, RunState.FAILURE)
            raise
        finally:
            child.run_id = child.fence = None

    def _execute(self, child: Child, run: Run) -> None:
        world = self.world
        ids, token = run.execution_ids, run.token
        if run.by_hand is not None:
            ids = (adopt_params(self.runtime, NAMES[0], run.by_hand, run.id),)
        begin = partial(self._begin, child, run)
        rows = [(execution_id, token or UUID(run.id)) for execution_id in ids]
        outcomes = run_batch(self.runtime, rows, begin, Silence())
        child.fence = None
        world.stage.point("child: run ends")
        if run.state is not RunState.CANCELED:
            succeeded = all(outcome.ok for outcome in outcomes)
            world.carrier.settle(run, RunState.SUCCESS if succeeded else RunState.FAILURE)

    def _begin(self, child: Child, run: Run, execution_id: int, token: UUID) -> Attempt | None:
        def leave(_code: int) -> None:
            """End the process at once, as os._exit does."""
            self.world.stage.kill(child.process)
            raise Died(f"child {child.pid} left")

        attempt = Attempt.begin(
            self.runtime,
            execution_id,
            token,
            run_id=run.id,
            worker_id=self.supervisor.identity.id,
            exit_process=leave,
        )
        child.fence = None if attempt is None else attempt.fence
        actor, fence = self.world.stage.current, child.fence
        if actor is not None and fence is not None:
            actor.owns = f"{fence.execution_id}/{fence.token}/{fence.attempt}"
        return attempt


@dataclass
class VirtualSignals:
    """Stands in for the module ``signal``: each child has its own table of handlers."""

    world: World
    SIGINT: int = signal.SIGINT
    SIGTERM: int = signal.SIGTERM

    def signal(self, number: int, handler: Any) -> Any:  # noqa: ANN401 - as the real one
        """Install a handler for the child that runs now; return the one before."""
        child = self.world.current_child()
        if child is None:
            return None
        before = child.handlers.get(number)
        child.handlers[number] = handler
        return before

    def deliver(self) -> None:
        """Call the handlers of the signals that the running child has not seen yet."""
        child = self.world.current_child()
        while child is not None and child.signals:
            handler: Callable[[int, None], None] | None = child.handlers.get(child.signals.pop(0))
            if handler is not None:
                handler(signal.SIGINT, None)


def runtime(world: World) -> ExecutionRuntime:
    """Return what attempts of this world use."""
    for handler in world.registry.handlers.values():
        if isinstance(handler, Work):
            handler.interrupt = world.signals.deliver
    return ExecutionRuntime(
        engine=world.store.engine,
        settings=world.settings,
        registry=world.registry,
        paths=Paths({"/data": "data"}, world.settings.root),
        databases={"default": world.store.url},
        installation="simulation",
        clock=world.clock,
        backoff=Backoff(random.Random(9)),  # noqa: S311 - a replay must jitter alike
    )
