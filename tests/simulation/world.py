"""One simulated installation: its store, carrier, broker, processes, and what time it is."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import structlog

from jobu_core.config import Settings
from jobu_core.crash_points import AUDIT_EVENT
from jobu_core.dispatcher.queue.adapter.memory import MemoryAdapter, MemoryBroker
from jobu_core.errors import JobuError
from jobu_core.store.locks import SessionLock
from tests.simulation.actors import WHOLE, Process, Stage
from tests.simulation.carrier import Carrier
from tests.simulation.hosts import Dispatcher, VirtualSignals, Worker
from tests.simulation.invariants import Invariants
from tests.simulation.work import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from jobu_core.models import Fence, QueueMessage
    from tests.simulation.hosts import Child
    from tests.simulation.store import SimulatedStore

TOPIC: Final = "jobu-events"
GROUP: Final = "jobu-queue-dispatcher"
PARTITIONS: Final = 2

_OWNS: Final = """
SELECT 1 FROM job_executions
 WHERE id = %s AND lease_token = %s AND attempt = %s AND status = 'RUNNING'
"""


class Violation(AssertionError):  # noqa: N818 - what the simulation looks for
    """Something happened that must never happen."""


class SimulationClock:
    """The monotonic clock of every process; it moves with the world."""

    def __init__(self, world: World) -> None:
        """Belong to one world."""
        self._world = world

    def monotonic(self) -> float:
        """Return the world's seconds."""
        return self._world.seconds

    def sleep(self, seconds: float) -> None:
        """Let the calling actor wait."""
        self._world.stage.sleep(seconds)


class PausingAdapter(MemoryAdapter):
    """A queue whose answers take as long as the stage likes."""

    stage: Stage

    def watermarks(self, partition: int) -> Any:  # noqa: ANN401 - the base's own type
        """Return which offsets are kept."""
        self.stage.point("broker: watermarks")
        return super().watermarks(partition)

    def fetch(self, max_records: int, timeout_seconds: float) -> list[QueueMessage]:
        """Return what is there; never waits."""
        self.stage.point("broker: fetch")
        del timeout_seconds
        return super().fetch(max_records, 0.0)

    def commit(self, positions: Mapping[int, int]) -> None:
        """Remember the group's offsets."""
        self.stage.point("broker: commit")
        super().commit(positions)
        self.stage.point("broker: committed")


@dataclass
class Locks:
    """Session locks of the whole world; a dead holder holds nothing."""

    world: World
    holders: dict[str, tuple[SessionLock, Process]] = field(default_factory=dict)
    excludes: bool = True
    """False: everybody gets it, as after a fail-over that forgot the locks."""

    def hold(self, lock: SessionLock, wait_seconds: float = 0.0) -> bool:
        """Stand in for ``SessionLock.hold``; never waits."""
        del wait_seconds
        actor = self.world.stage.current
        holder = self.holders.get(lock._name)
        if holder is not None and holder[0] is lock:
            return True
        taken = holder is not None and holder[1].is_alive and self.excludes
        if taken or actor is None:
            return False
        self.holders[lock._name] = (lock, actor.process)
        lock._takes += 1
        return True

    def release(self, lock: SessionLock) -> None:
        """Stand in for ``SessionLock.release``."""
        holder = self.holders.get(lock._name)
        if holder is not None and holder[0] is lock:
            del self.holders[lock._name]


class World:
    """Everything there is; ``steps.py`` says what can be done to it."""

    def __init__(self, store: SimulatedStore, root: Path) -> None:
        """Begin with one daemon, one long-lived dispatcher and two workers."""
        self.seconds = 0.0
        self.stage = Stage(lambda: self.seconds)
        self.store = store
        store.stage = self.stage
        store.clear()
        self.settings = _settings(root)
        self.clock = SimulationClock(self)
        self.broker = MemoryBroker()
        self.broker.create_topic(TOPIC, PARTITIONS)
        self.locks = Locks(self)
        self.signals = VirtualSignals(self)
        self.violations: list[str] = []
        self.expected: dict[tuple[int, int], str] = {}
        """(partition, offset) → what a message must become, where it is certain."""
        self.registry = registry(self.stage, store)
        self.carrier = Carrier(self.stage, store, self.report)
        self.invariants = Invariants(self)
        self.people = Process("people", 0.0)
        self.web = Process("web", 0.0)
        self._pids = 0
        self._stack = ExitStack()
        self._enter()
        self.daemon = Dispatcher(self, "daemon")
        self.dispatcher = Dispatcher(self, "dispatcher")
        self.workers = [Worker(self, self.next_pid()), Worker(self, self.next_pid())]

    def _enter(self) -> None:
        """Put the world's clockwork in place of what would leave this process."""
        locks, enter = self.locks, self._stack.enter_context
        enter(mock.patch.object(SessionLock, "hold", _hold(locks)))
        enter(mock.patch.object(SessionLock, "release", _release(locks)))
        enter(mock.patch("jobu_core.execution.interrupts.signal", self.signals))
        enter(mock.patch.object(sys, "audit", self._audited(sys.audit)))
        quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
        before = structlog.get_config()["wrapper_class"]
        structlog.configure(wrapper_class=quiet)
        self._stack.callback(structlog.configure, wrapper_class=before)

    def _audited(self, real: Callable[..., None]) -> Callable[..., None]:
        def audit(event: str, *arguments: Any) -> None:  # noqa: ANN401 - as the real one
            if event == AUDIT_EVENT:
                self.stage.point(f"reached {arguments[0]}")
            real(event, *arguments)

        return audit

    def close(self) -> None:
        """End every process, and give this one its own clockwork back."""
        for process in {actor.process.name: actor.process for actor in self.stage.actors}.values():
            self.stage.kill(process)
        self.stage.bury()
        self._stack.close()

    def adapter(self) -> PausingAdapter:
        """Return a new consumer of the topic."""
        made = PausingAdapter(self.broker, TOPIC, GROUP, self.clock)
        made.stage = self.stage
        return made

    def next_pid(self) -> int:
        """Return a process id that was never used."""
        self._pids += 1
        return 100 + self._pids

    def report(self, violation: str) -> None:
        """Note what must never happen; the step under way ends with it."""
        self.violations.append(violation)

    def owns(self, fence: Fence) -> bool:
        """Whether that attempt owns its row, in truth."""
        values = (fence.execution_id, fence.token, fence.attempt)
        return bool(self.store.ask(_OWNS, *values))

    def current_child(self) -> Child | None:
        """Return the child whose code runs now."""
        actor = self.stage.current
        for worker in self.workers:
            for child in worker.children:
                if actor is not None and child.process is actor.process:
                    return child
        return None

    def run(
        self,
        process: Process,
        name: str,
        body: Callable[[], None],
        *,
        pauses: int = WHOLE,
        **faults: Any,  # noqa: ANN401 - the stage's own
    ) -> None:
        """Run an activity of a process, unless one of that name is paused already."""
        busy = any(a.process is process and a.name == name for a in self.stage.actors)
        if busy or not process.is_alive:
            return
        guarded = self._guarded(process, name, body)
        self.stage.start(process, name, guarded, pauses=pauses, **faults)
        self.after()

    def supervise(self, worker: Worker, **faults: Any) -> None:  # noqa: ANN401 - the stage's own
        """Let a worker's supervisor look once, unless it gets no time."""
        if self.seconds >= worker.frozen_until:
            self.run(worker.process, "supervise", worker.supervisor.step, **faults)

    def _guarded(self, process: Process, name: str, body: Callable[[], None]) -> Callable[[], None]:
        def act() -> None:
            try:
                body()
            except JobuError:
                return  # an outage, or a refusal that a person reads
            except Exception as error:  # noqa: BLE001 - whatever escapes is judged here
                if not self.invariants.expects(error):
                    first = str(error).partition("\n")[0]
                    self.report(f"{process.name}.{name} raised {type(error).__name__}: {first}")

        return act

    def after(self) -> None:
        """Bury the dead, start what a supervisor would, and look at what became of the rows."""
        self.stage.bury()
        for worker in [one for one in self.workers if not one.process.is_alive]:
            self.end_worker(worker)
        for worker in self.workers:
            worker.refill()
        if not self.daemon.process.is_alive:
            self.daemon = Dispatcher(self, "daemon")
        if not self.dispatcher.process.is_alive:
            self.dispatcher = Dispatcher(self, "dispatcher")
        self.people.is_alive = self.web.is_alive = True
        self.stage.died.clear()
        self.invariants.check()
        if self.violations:
            raise Violation("; ".join(self.violations))

    def end_worker(self, worker: Worker) -> None:
        """End a main process; its children die with it."""
        self.stage.kill(worker.process)
        for child in worker.children:
            self.stage.kill(child.process)
        self.stage.bury()
        self.workers.remove(worker)

    def advance(self, seconds: float) -> None:
        """Let time pass everywhere, for whoever waits for it."""
        self.seconds += seconds
        self.store.seconds += seconds

    def running(self) -> Sequence[Child]:
        """Return the children that are busy."""
        return [c for w in self.workers for c in w.children if c.run_id is not None]


def _hold(locks: Locks) -> Callable[..., bool]:
    def hold(lock: SessionLock, wait_seconds: float = 0.0) -> bool:
        return locks.hold(lock, wait_seconds)

    return hold


def _release(locks: Locks) -> Callable[[SessionLock], None]:
    def release(lock: SessionLock) -> None:
        locks.release(lock)

    return release


def _settings(root: Path) -> Settings:
    """Return small batches and short waits, so that little time holds much."""
    settings = Settings(root=root)
    queue = settings.queue_dispatcher.model_copy(
        update={
            "kafka_topic": TOPIC,
            "kafka_group_id": GROUP,
            "kafka_max_poll_records": 2,
            "ingest_batch": 5,
            "on_recreate": "new_generation",
        },
    )
    worker = settings.worker.model_copy(
        update={"max_retry": 2, "retry_backoff_seconds": 3, "timeout_seconds": 60},
    )
    return settings.model_copy(update={"queue_dispatcher": queue, "worker": worker})
