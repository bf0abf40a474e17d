"""A job store and a topic for the tests of ingest; starts nothing of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jobu_core.config import Settings
from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.adapter.memory import MemoryAdapter, MemoryBroker
from jobu_core.dispatcher.queue.ingest import Ingest, IngestTick
from jobu_core.store.dead_letters import list_dead_letters
from jobu_core.store.engine import transaction
from jobu_core.store.executions import list_executions
from jobu_core.store.schema import kafka_positions, offset_gaps
from tests.fix_cron import FakeCatalog

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from jobu_core.dispatcher.queue.adapter.base import BaseQueueAdapter
    from jobu_core.models import DeadLetter, Execution

TOPIC = "jobu-events"
GROUP = "jobu-queue-dispatcher"


def event(handler_name: str | None = "echo", **more: object) -> bytes:
    """Return an event as bytes; ``params`` and ``job_id`` as given."""
    return json.dumps({"handler_name": handler_name, **more}).encode()


@dataclass
class Events:
    """One store and one topic of two partitions; every method is a sentence of a test."""

    engine: Engine
    settings: Settings
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    catalog: FakeCatalog = field(default_factory=FakeCatalog)
    topic: str = TOPIC

    def configured(self, **queue: object) -> Events:
        """Return the same with other settings of the queue."""
        section = self.settings.queue_dispatcher.model_copy(update=queue)
        settings = self.settings.model_copy(update={"queue_dispatcher": section})
        return replace(self, settings=settings)

    def adapter(self) -> BaseQueueAdapter:
        """Return a new adapter on the topic."""
        return MemoryAdapter(self.broker, self.topic, GROUP)

    def send(self, *values: bytes | None, partition: int = 0) -> None:
        """Put messages on the topic."""
        messages = [OutgoingMessage(value, partition=partition) for value in values]
        self.adapter().publish(self.topic, messages)

    def ingest(self, adapter: BaseQueueAdapter | None = None) -> Ingest:
        """Return a new ingest, as a new process would have it."""
        return Ingest(self.engine, self.catalog, self.settings, adapter or self.adapter())

    def tick(self, adapter: BaseQueueAdapter | None = None) -> IngestTick:
        """Start a process, run one tick in it, and end it."""
        with self.ingest(adapter) as opened:
            return opened.tick(0.2)

    def executions(self) -> list[Execution]:
        """Return every execution, oldest first."""
        with transaction(self.engine) as connection:
            return list_executions(connection, limit=10_000)[::-1]

    def params(self) -> list[Any]:
        """Return the params of every execution, oldest first."""
        return [dict(execution.params) for execution in self.executions()]

    def letters(self) -> list[DeadLetter]:
        """Return every dead letter in the order of the topic."""
        with transaction(self.engine) as connection:
            found = list_dead_letters(connection, limit=10_000)
        return sorted(found, key=lambda each: (each.coordinates.partition, each.coordinates.offset))

    def codes(self) -> list[str]:
        """Return the dead letters' codes in the order of the topic."""
        return [letter.code for letter in self.letters()]

    def positions(self) -> dict[tuple[int, int], int]:
        """Return (generation, partition) → next offset."""
        rows = kafka_positions.c
        with transaction(self.engine) as connection:
            found = connection.execute(sa.select(rows.generation, rows.partition, rows.next_offset))
            return {(row[0], row[1]): row[2] for row in found}

    def gaps(self) -> list[tuple[int, int, int]]:
        """Return (partition, from, to) of every gap."""
        rows = offset_gaps.c
        with transaction(self.engine) as connection:
            found = connection.execute(sa.select(rows.partition, rows.from_offset, rows.to_offset))
            return [(row[0], row[1], row[2]) for row in found]

    def ledger(self) -> int:
        """Return how many messages the ledger accounts for."""
        with transaction(self.engine) as connection:
            counted = connection.scalar(sa.text("SELECT sum(count) FROM dispatch_ledger"))
            return int(counted or 0)


@pytest.fixture
def events(engine: Engine, tmp_path: Path) -> Events:
    """Return a store and an empty topic of two partitions in memory."""
    made = Events(engine, Settings(root=tmp_path))
    made.broker.create_topic(TOPIC, 2)
    return made
