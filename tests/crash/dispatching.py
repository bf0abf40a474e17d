"""A dispatcher's process from its start to its end, on a site that outlives it.

The same code runs in the child that dies and in the test that goes on after it.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import psycopg
import sqlalchemy as sa
from pydantic import BaseModel

from jobu_core.clock import ManualClock, SystemClock
from jobu_core.config import DispatcherSettings, RetentionSettings, Settings
from jobu_core.dispatcher.cron.dispatch import dispatch_handler
from jobu_core.dispatcher.launch import claim_due
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.dispatcher.queue.adapter.memory import MemoryAdapter, MemoryBroker
from jobu_core.dispatcher.queue.ingest import Ingest
from jobu_core.dispatcher.reconcile import Reconciler
from jobu_core.execution.retention import Pruning
from jobu_core.execution.run import Attempt
from jobu_core.execution.runtime import ExecutionRuntime
from jobu_core.handlers.functions import FunctionHandler
from jobu_core.handlers.registry import Registry
from jobu_core.models import QueueMessage
from jobu_core.pipeline.paths import Paths
from jobu_core.runs import RunState
from jobu_core.store.engine import open_engine, transaction
from jobu_core.store.positions import read_positions
from jobu_core.store.schema import job_executions, metadata
from tests.attempt_support import MemorySink
from tests.crash.audit import audit, violations
from tests.crash.cases import Case
from tests.crash.children import die
from tests.crash.kept_runs import KeptRuns
from tests.fix_store_time import StoreTime
from tests.launch_support import WORKER, Jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path
    from uuid import UUID

    from jobu_core.clock import Clock
    from jobu_core.dispatcher.queue.adapter.base import BaseQueueAdapter
    from jobu_core.handlers.base import HandlerContext
    from tests.crash.audit import Message

START: Final = datetime(2026, 3, 2, tzinfo=UTC)
TOPIC: Final = "jobu-events"
GROUP: Final = "jobu-queue-dispatcher"
SLOTS: Final = 2
_STEP_SECONDS: Final = 5.0
_TICK_SECONDS: Final = 0.5
_MOST_STEPS: Final = 60


class Numbered(BaseModel):
    """Params of the handler whose effect is one row in the table ``effects``."""

    n: int


def leave_effect(context: HandlerContext, params: Numbered) -> dict[str, int]:
    """Write down that this execution had its effect."""
    with psycopg.connect(context.databases["default"], autocommit=True) as connection:
        connection.execute("INSERT INTO effects VALUES (%s)", (context.execution_id,))
    return {"n": params.n}


@dataclass(frozen=True)
class DispatchCase(Case):
    """A death, and the tables in which it leaves what the process has done."""

    leaves: tuple[str, ...] = ()


@dataclass(frozen=True)
class Topic:
    """A topic as its broker keeps it; the broker outlives jobu's processes."""

    logs: Mapping[int, tuple[bytes | None, ...]] = field(default_factory=lambda: {0: ()})
    low: Mapping[int, int] = field(default_factory=dict)
    topic_id: str = "topic-1"

    def broker(self) -> MemoryBroker:
        """Return a broker that holds just this."""
        broker = MemoryBroker()
        broker.cluster_id = "cluster-1"
        broker.create_topic(TOPIC, len(self.logs))
        topic = broker.topics[TOPIC]
        topic.topic_id = self.topic_id
        topic.low.update(self.low)
        for at, values in self.logs.items():
            topic.logs[at] = [
                QueueMessage(TOPIC, at, offset, None, value, (), datetime(2026, 3, 1, tzinfo=UTC))
                for offset, value in enumerate(values)
            ]
        return broker


@dataclass(frozen=True)
class Site:
    """What a process finds when it starts: a store, a queue, the time, its configuration."""

    url: str
    root: Path
    now: datetime
    topic: Topic = field(default_factory=Topic)
    bootstrap: str | None = None
    """A Kafka to read from, instead of ``topic``."""
    handlers: tuple[str, ...] = ("echo",)
    queue: Mapping[str, object] = field(default_factory=dict)

    @contextmanager
    def process(self) -> Iterator[Dispatcher]:
        """Start a dispatcher here, and end it."""
        with ExitStack() as stack:
            yield Dispatcher(self, stack)

    def do(self, step: Callable[[Dispatcher], object]) -> None:
        """Start a process, take one step in it, and end it."""
        with self.process() as process:
            step(process)

    @contextmanager
    def after_death(
        self,
        case: DispatchCase,
        step: Callable[[Dispatcher], object],
    ) -> Iterator[Dispatcher]:
        """Let a process die in ``step``, and start another one.

        Fails unless the dead one left just what its case says, and no promise broken.
        """
        with self.process() as watcher:
            before = watcher.contents()
            die(case, self.do, step)
            after = watcher.contents()
            with transaction(watcher.engine) as connection:
                assert violations(connection) == []
        assert {name for name in after if after[name] != before[name]} == set(case.leaves)
        with self.process() as restarted:
            yield restarted


class Dispatcher:
    """One process: what it has opened, and the steps it can take."""

    def __init__(self, site: Site, stack: ExitStack) -> None:
        """Open the store; nothing is read yet."""
        self.site = site
        self._stack = stack
        self.engine = open_engine(site.url)
        stack.callback(self.engine.dispose)
        self.now = StoreTime(site.now)
        sa.event.listen(self.engine, "begin", self.now.apply)
        self.clock = ManualClock()
        self.jobs = Jobs(self.engine)
        self.runs = KeptRuns(site.root / "runs.json")
        self.settings = self._settings()
        handler = FunctionHandler.wrap("echo", leave_effect)
        self.registry = Registry(dict.fromkeys(site.handlers, handler), {}, {}, (), "v1")
        self.reconciler = Reconciler(
            self.engine, self.registry, self.settings, self.runs, self.clock
        )

    def _settings(self) -> Settings:
        plain = Settings(root=self.site.root)
        queue = plain.queue_dispatcher.model_copy(update=dict(self.site.queue))
        return plain.model_copy(update={"queue_dispatcher": queue})

    def forward(self, seconds: float) -> None:
        """Let time pass for the store and this process."""
        self.now.forward(seconds=seconds)
        self.clock.advance(seconds)

    def ingest(self) -> None:
        """Read what the queue has; by Kafka with real waits, else without any."""
        if self.site.bootstrap is None:
            adapter: BaseQueueAdapter
            adapter = MemoryAdapter(self.site.topic.broker(), TOPIC, GROUP, self.clock)
            self._opened(adapter, self.clock).tick(_TICK_SECONDS)
            return
        adapter = KafkaAdapter(self.site.bootstrap, TOPIC, GROUP)
        ingest = self._opened(adapter, SystemClock())
        for _ in range(_MOST_STEPS):
            ingest.tick(_TICK_SECONDS)
            if not any(adapter.lag(self._positions()).values()):
                return

    def _opened(self, adapter: BaseQueueAdapter, clock: Clock) -> Ingest:
        ingest = Ingest(self.engine, self.registry, self.settings, adapter, clock)
        return self._stack.enter_context(ingest)

    def _positions(self) -> dict[int, int]:
        with transaction(self.engine) as connection:
            return {at.partition: at.next_offset for at in read_positions(connection, GROUP, TOPIC)}

    def cron(self) -> None:
        """Decide what is due, as the schedule of each handler does."""
        for name in self.registry.names:
            dispatch_handler(
                self.engine,
                self.registry,
                self.settings.dispatcher,
                handler_name=name,
                scheduled_time=None,
            )

    def launch(self) -> None:
        """Claim what is due and launch it, never beyond the window."""
        plan = claim_due(
            self.engine,
            handlers=self.registry.names,
            settings=self.settings.dispatcher.launch,
            code_version="v1",
            lease_seconds=30,
        )
        assert self.launches() <= SLOTS * self.settings.dispatcher.launch.ahead
        for batch in plan.batches:
            self.runs.launch(batch)

    def reconcile(self) -> None:
        """Look once at what runs and workers left behind."""
        self.reconciler.tick()

    def watch(self, seconds: float, every: float = _STEP_SECONDS) -> None:
        """Look now and then, for so long."""
        self.reconcile()
        for _ in range(round(seconds / every)):
            self.forward(every)
            self.reconcile()

    def beat(self) -> None:
        """Let the one worker say that it lives."""
        self.jobs.worker(WORKER, slots=SLOTS)

    def work(self) -> None:
        """Let the worker execute every started run to its end."""
        for token, run_id in self.runs.first_run.items():
            if self.runs.known[run_id] is RunState.STARTED:
                self._execute(token, run_id)
                self.runs.end(run_id, RunState.SUCCESS)

    def _execute(self, token: UUID, run_id: str) -> int:
        """Execute the rows that a run may still execute; return how many these are."""
        runtime = ExecutionRuntime(
            engine=self.engine,
            settings=self.settings,
            registry=self.registry,
            paths=Paths({"/data": "data"}, self.site.root),
            databases={"default": self.site.url},
            installation="i",
            clock=self.clock,
        )
        begun = 0
        for row_id in self._row_ids():
            attempt = Attempt.begin(
                runtime,
                row_id,
                token,
                run_id=run_id,
                worker_id=WORKER,
                exit_process=_never,
            )
            if attempt is not None:
                attempt.run(MemorySink())
                begun += 1
        return begun

    def _row_ids(self) -> list[int]:
        with transaction(self.engine) as connection:
            return list(connection.scalars(sa.select(job_executions.c.id)))

    def run_to_rest(self) -> None:
        """Tick, launch, work and reconcile until nothing is left to do."""
        self.beat()
        self.ingest()
        self.cron()
        for _ in range(_MOST_STEPS):
            self.beat()
            self.reconcile()
            self.launch()
            self.work()
            if not self.jobs.count("PENDING") + self.launches():
                break
            self.forward(_STEP_SECONDS)
        late = [run for token, run in self.runs.first_run.items() if self._execute(token, run)]
        assert late == [], "a run that comes late executes a row again"

    def audit(
        self,
        *,
        good: Collection[Message] = (),
        bad: Collection[Message] = (),
        lost: Collection[Message] = (),
        occurrences: Mapping[int, int] | None = None,
    ) -> None:
        """Audit the ledger, and that each SUCCESS had its one effect."""
        audit(self.engine, good=good, bad=bad, lost=lost, occurrences=occurrences)
        with transaction(self.engine) as connection:
            done = connection.scalars(sa.text("SELECT execution_id FROM effects ORDER BY 1")).all()
            succeeded = sa.select(job_executions.c.id).where(job_executions.c.status == "SUCCESS")
            assert list(done) == list(connection.scalars(succeeded.order_by(job_executions.c.id)))

    def ledger(self) -> set[tuple[int, int, int, str]]:
        """Return (generation, partition, offset, outcome) of every message."""
        statement = (
            "SELECT generation, partition, from_offset, outcome FROM dispatch_ledger"
            " WHERE topic IS NOT NULL"
        )
        with transaction(self.engine) as connection:
            rows = connection.execute(sa.text(statement))
            return {(row[0], row[1], row[2], row[3]) for row in rows}

    def prune(self) -> None:
        """Take away what ended a day ago, a row at a time."""
        dispatcher = DispatcherSettings(retention=RetentionSettings(batch=1))
        settings = self.settings.model_copy(update={"dispatcher": dispatcher})
        paths = Paths({"/data": "data"}, self.site.root)
        pruning = Pruning(self.engine, settings, paths, timedelta(days=1))
        pruning.record("tester", pruning.prune(pruning.cutoff()), runs=0)

    def launches(self) -> int:
        """Return how many launches are in flight."""
        token = job_executions.c.lease_token
        with transaction(self.engine) as connection:
            counted = connection.scalar(sa.select(sa.func.count(token.distinct())))
        return int(counted or 0)

    def contents(self) -> dict[str, list[str]]:
        """Return every row of jobu's tables as text."""
        with transaction(self.engine) as connection:
            return {
                table.name: [
                    str(row)
                    for row in connection.scalars(
                        sa.text(f"SELECT t::text FROM {table.name} t ORDER BY 1"),  # noqa: S608 - a name of our schema
                    )
                ]
                for table in metadata.sorted_tables
            }


def _never(code: int) -> None:
    raise AssertionError(f"the worker left with {code}: its row was taken from it")
