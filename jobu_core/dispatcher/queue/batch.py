"""One batch of messages in one transaction: executions, dead letters, positions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jobu_core.crash_points import reach
from jobu_core.dispatcher.queue.event import decode_event
from jobu_core.dispatcher.queue.isolate import insert_isolated
from jobu_core.dispatcher.queue.ordering import serial_key
from jobu_core.dispatcher.queue.resolve import TimedEvent, resolve_events
from jobu_core.errors import PositionMoved
from jobu_core.models import Coordinates, NewExecution, Rejection
from jobu_core.store.dead_letters import insert_dead_letters
from jobu_core.store.executions import insert_executions
from jobu_core.store.positions import advance_positions, lock_positions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import sqlalchemy as sa

    from jobu_core.config import Settings
    from jobu_core.dispatcher.catalog import HandlerCatalog
    from jobu_core.models import JobEvent, QueueMessage


@dataclass(frozen=True, slots=True)
class Decoded:
    """A message and what it says, or why it says nothing usable."""

    message: QueueMessage
    content: JobEvent | Rejection


@dataclass(frozen=True, slots=True)
class Written:
    """What one transaction stored."""

    created: tuple[int, ...]
    duplicates: int
    dead: Counter[str] = field(default_factory=Counter)
    """Dead letters by code."""
    next_offsets: Mapping[int, int] = field(default_factory=dict)


def decode_all(messages: Sequence[QueueMessage], *, max_bytes: int) -> list[Decoded]:
    """Decode every message; needs no database, so it happens before the transaction."""
    return [Decoded(each, decode_event(each.value, max_bytes=max_bytes)) for each in messages]


@dataclass(frozen=True, slots=True)
class BatchWriter:
    """Writes batches of one generation of the topic within an open transaction."""

    connection: sa.Connection
    catalog: HandlerCatalog
    settings: Settings
    generation: int

    def write(self, expected: Mapping[int, int], batch: Sequence[Decoded]) -> Written:
        """Turn ``batch`` into rows and advance the positions.

        ``expected`` is the offset each partition must stand at. Raises PositionMoved
        if one does not: then another ingest has written these messages.
        """
        queue = self.settings.queue_dispatcher
        where = (queue.kafka_group_id, queue.kafka_topic, self.generation)
        if any(each.message.offset < expected[each.message.partition] for each in batch):
            raise PositionMoved(f"{where[1]}: the queue returned what was read before")
        after = {each.message.partition: each.message.offset + 1 for each in batch}
        locked = lock_positions(self.connection, *where, after)
        if moved := [at for at, offset in locked.items() if offset != expected[at]]:
            raise PositionMoved(f"{where[1]}: another ingest has moved partitions {moved}")
        reach("batch.positions_locked")
        outcomes = self._insert(self._resolve(batch))
        reach("batch.executions_inserted")
        refused = [
            (each.message, self.generation, outcome)
            for each, outcome in zip(batch, outcomes, strict=True)
            if isinstance(outcome, Rejection)
        ]
        mirror_topic = self.settings.queue_dispatcher.dead_letter_topic
        insert_dead_letters(self.connection, where[0], refused, mirror_topic)
        reach("batch.dead_letters_inserted")
        moves = {at: (expected[at], offset) for at, offset in after.items()}
        advance_positions(self.connection, *where, moves)
        return Written(
            created=tuple(outcome for outcome in outcomes if isinstance(outcome, int)),
            duplicates=outcomes.count(None),
            dead=Counter(rejection.code for _, _, rejection in refused),
            next_offsets=after,
        )

    def _resolve(self, batch: Sequence[Decoded]) -> list[NewExecution | Rejection]:
        """Return for each message its row or why it has none."""
        events = [
            TimedEvent(each.content, each.message.timestamp)
            for each in batch
            if not isinstance(each.content, Rejection)
        ]
        resolved = iter(resolve_events(self.connection, self.catalog, self.settings, events))
        return [
            each.content
            if isinstance(each.content, Rejection)
            else self._placed(next(resolved), each.message)
            for each in batch
        ]

    def _placed(
        self,
        outcome: NewExecution | Rejection,
        message: QueueMessage,
    ) -> NewExecution | Rejection:
        """Return the row with its message's coordinates and the key that makes it one row."""
        if isinstance(outcome, Rejection):
            return outcome
        at = Coordinates(message.topic, self.generation, message.partition, message.offset)
        queue = self.settings.queue_dispatcher
        place = f"{at.topic}:{at.generation}:{at.partition}:{at.offset}"
        return replace(
            outcome,
            dedupe_key=f"event:{queue.kafka_group_id}:{place}",
            serial_key=serial_key(queue, at.topic, message.key),
            coordinates=at,
            message_key=message.key,
            message_time=message.timestamp,
        )

    def _insert(
        self,
        resolved: Sequence[NewExecution | Rejection],
    ) -> list[int | Rejection | None]:
        """Return per message the new row's id, None for a duplicate, or its Rejection."""
        rows = [each for each in resolved if isinstance(each, NewExecution)]
        stored = iter(insert_isolated(self.connection, rows, insert_executions))
        return [each if isinstance(each, Rejection) else next(stored) for each in resolved]
