"""Where reading starts: the stored positions, checked against what the queue holds.

Run before the first fetch of every start. What it decides (first positions, new
partitions, a gap, a new generation) is stored before anything is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from jobu_core.crash_points import reach
from jobu_core.dispatcher.queue.adapter.base import TopicIdentity
from jobu_core.errors import ConfigError, PositionMoved, TopicChanged
from jobu_core.models import Position
from jobu_core.store import positions as store
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import sqlalchemy as sa

    from jobu_core.config import Settings
    from jobu_core.dispatcher.queue.adapter.base import BaseQueueAdapter, Watermarks

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is being read and from where; ``messages`` say what was decided."""

    generation: int
    identity: TopicIdentity
    next_offsets: Mapping[int, int]
    messages: tuple[str, ...] = ()


def resume(
    engine: sa.Engine,
    adapter: BaseQueueAdapter,
    settings: Settings,
    *,
    mine: Collection[int] | None = None,
    appeared: bool = False,
) -> Standing | None:
    """Return where to read from; None while the topic does not exist.

    ``mine``: the partitions that are ours to judge and to read; None = all.
    ``appeared``: the topic was seen missing before, so all of it is new, whatever
    the reset policy. Raises TopicChanged when the topic is not the one that the
    positions belong to and the configuration does not allow a new generation;
    ConfigError when there is no position and the policy is ``none``;
    PositionMoved when another ingest decides at the same time; Outage.
    """
    group = settings.queue_dispatcher.kafka_group_id
    with transaction(engine) as connection:  # before the watermarks: these only rise
        stored = store.read_positions(connection, group, adapter.topic)
    found = adapter.partitions()
    if not found:
        return None
    seen = _Seen(adapter.identity(), {at: adapter.watermarks(at) for at in found})
    with transaction(engine) as connection:
        decision = _Decision(connection, settings, adapter.topic, seen, mine)
        if not stored:
            return decision.begin(appeared=appeared)
        decision.lock_unchanged(stored)
        return decision.go_on(stored)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The topic as the queue describes it now."""

    identity: TopicIdentity
    marks: Mapping[int, Watermarks]


@dataclass(frozen=True, slots=True)
class _Decision:
    """Everything below runs in one transaction."""

    connection: sa.Connection
    settings: Settings
    topic: str
    seen: _Seen
    mine: Collection[int] | None

    def lock_unchanged(self, stored: Sequence[Position]) -> None:
        """Lock the positions; raises PositionMoved if they are no longer the ones read."""
        expected = {each.partition: each.next_offset for each in self._ours(stored)}
        generation = stored[0].generation
        if expected != store.lock_positions(
            self.connection, stored[0].group_id, self.topic, generation, expected
        ):
            raise PositionMoved(f"{self.topic}: positions moved while they were checked")

    def begin(self, *, appeared: bool) -> Standing:
        """Store the first positions of a topic that was never read."""
        policy = "earliest" if appeared else self.settings.queue_dispatcher.kafka_auto_offset_reset
        if policy == "none":
            raise ConfigError(
                f"topic {self.topic} has no stored positions and"
                " queue_dispatcher.kafka_auto_offset_reset is 'none':"
                " set it to earliest or latest for the first start",
            )
        latest = policy == "latest"
        offsets = {at: mark.high if latest else mark.low for at, mark in self.seen.marks.items()}
        self._insert(1, offsets)
        text = f"topic {self.topic}: first start, {policy} of {len(offsets)} partitions"
        return self._standing((text,))

    def go_on(self, stored: Sequence[Position]) -> Standing:
        """Continue from locked positions, after settling what changed meanwhile."""
        changes = self._changes(stored)
        if changes:
            return self._start_over(stored[0].generation, changes)
        messages = [text for each in self._ours(stored) if (text := self._skip_gap(each))]
        known = {each.partition for each in stored}
        fresh = {at: mark.low for at, mark in self.seen.marks.items() if at not in known}
        if fresh:
            self._insert(stored[0].generation, fresh)
            messages.append(f"topic {self.topic}: {len(fresh)} new partitions")
        if any(_unknown_part(each, self.seen.identity) for each in stored):
            store.learn_identity(
                self.connection,
                stored[0].group_id,
                self.topic,
                stored[0].generation,
                cluster_id=self.seen.identity.cluster_id,
                topic_id=self.seen.identity.topic_id,
            )
            reach("resume.identity_learned")
        return self._standing(tuple(messages))

    def _changes(self, stored: Sequence[Position]) -> list[str]:
        """Say why this cannot be the topic that the positions belong to."""
        changes = []
        for each in stored:
            if TopicIdentity(each.cluster_id, each.topic_id).differs_from(self.seen.identity):
                changes.append(f"its identity was {each.cluster_id}/{each.topic_id}")
                break
        for each in self._ours(stored):
            mark = self.seen.marks.get(each.partition)
            if mark is None:
                changes.append(f"partition {each.partition} is gone")
            elif each.next_offset > mark.high:
                changes.append(
                    f"partition {each.partition} ends at {mark.high}, before {each.next_offset}",
                )
        return changes

    def _start_over(self, generation: int, changes: Sequence[str]) -> Standing:
        """Begin a new generation at the start of every partition, where that is allowed."""
        what = f"topic {self.topic} is not the one that was read before: {'; '.join(changes[:5])}"
        if self.settings.on_recreate == "stop":
            raise TopicChanged(
                f"{what}. If it was recreated on purpose, set"
                " queue_dispatcher.on_recreate: new_generation to read it from its start",
            )
        log.error("topic_recreated", topic=self.topic, generation=generation + 1, changes=changes)
        self._insert(generation + 1, {at: mark.low for at, mark in self.seen.marks.items()})
        return self._standing((f"{what}; generation {generation + 1} begins at its start",))

    def _skip_gap(self, position: Position) -> str | None:
        """Step over offsets that the queue has dropped, and leave a row that says so."""
        low = self.seen.marks[position.partition].low
        if position.next_offset >= low:
            return None
        store.record_gap(self.connection, position, low)
        reach("resume.gap_recorded")
        store.advance_positions(
            self.connection,
            position.group_id,
            self.topic,
            position.generation,
            {position.partition: (position.next_offset, low)},
        )
        reach("resume.gap_stepped_over")
        span = f"{position.next_offset} to {low - 1}"
        log.error("offsets_lost", topic=self.topic, partition=position.partition, offsets=span)
        return f"LOST: {self.topic}/{position.partition} offsets {span} were dropped unread"

    def _insert(self, generation: int, offsets: Mapping[int, int]) -> None:
        identity = self.seen.identity
        blank = Position(
            group_id=self.settings.queue_dispatcher.kafka_group_id,
            topic=self.topic,
            generation=generation,
            partition=0,
            cluster_id=identity.cluster_id,
            topic_id=identity.topic_id,
            next_offset=0,
        )
        first = [replace(blank, partition=at, next_offset=next_) for at, next_ in offsets.items()]
        store.insert_positions(self.connection, first)
        reach("resume.positions_inserted")

    def _standing(self, messages: tuple[str, ...]) -> Standing:
        """Return what the table says now, which is what counts."""
        group = self.settings.queue_dispatcher.kafka_group_id
        now = store.read_positions(self.connection, group, self.topic)
        return Standing(
            generation=now[0].generation,
            identity=self.seen.identity,
            next_offsets={each.partition: each.next_offset for each in self._ours(now)},
            messages=messages,
        )

    def _ours(self, positions: Sequence[Position]) -> list[Position]:
        """Leave out what another member of the group reads, and moves meanwhile."""
        return [each for each in positions if self.mine is None or each.partition in self.mine]


def _unknown_part(position: Position, identity: TopicIdentity) -> bool:
    learned_cluster = position.cluster_id is None and identity.cluster_id is not None
    learned_topic = position.topic_id is None and identity.topic_id is not None
    return learned_cluster or learned_topic
