"""Kafka as a member of a consumer group: the group says which partitions, the table where.

A grant is only noted in the callback; reading begins with ``seek``, at the
positions of the table. So the group's own offsets decide nothing, and a message
can be fetched by two members but is written by one.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from jobu_core.dispatcher.queue.adapter import kafka_settings
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.errors import PositionMoved, QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from confluent_kafka import Message

    from jobu_core.models import QueueMessage

_log: Final = logging.getLogger("jobu.kafka")
_SLICE_SECONDS: Final = 0.2
_CLOSE_SECONDS: Final = 5.0

_TAKEN_OVER: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError._NO_OFFSET,  # noqa: SLF001 - the client's public spelling
    },
)
"""Answers to a commit that came too late: the new owner commits what the table says."""

_PASSES_BY: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - idem
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001 - idem
    },
)
"""What a member is told while it waits for partitions, and need not act on."""


@dataclass(slots=True)
class _Membership:
    """What one consumer was granted and reads; its callbacks must never raise."""

    granted: set[int] = field(default_factory=set)
    reading: set[int] = field(default_factory=set)
    has_moved: bool = False

    def on_assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Note the grant; nothing is read before ``seek`` says from where."""
        self.granted |= {each.partition for each in partitions}
        self.has_moved = self.has_moved or bool(partitions)
        _change(consumer.incremental_assign, [])

    def on_revoke(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Stop reading; what was fetched and not yet written is the next owner's."""
        gone = {each.partition for each in partitions}
        mine = [each for each in partitions if each.partition in self.reading]
        self.granted -= gone
        self.reading -= gone
        self.has_moved = self.has_moved or bool(partitions)
        _change(consumer.incremental_unassign, mine)

    def on_lost(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Stop as well: the group went on without us, and nothing may be committed."""
        _log.warning("the consumer group went on without this member")
        self.on_revoke(consumer, partitions)


class KafkaGroupAdapter(KafkaAdapter):
    """One topic of a Kafka cluster, shared with the other members of the group."""

    _membership: _Membership | None = None

    def open(self) -> None:
        """Join the group; does not wait for partitions."""
        if self._consumer is not None:
            return
        super().open()
        joined = self._membership = _Membership()
        self._call(
            lambda consumer: consumer.subscribe(
                [self.topic],
                on_assign=joined.on_assign,
                on_revoke=joined.on_revoke,
                on_lost=joined.on_lost,
            ),
        )

    def close(self) -> None:
        """Leave the group, within seconds even if the cluster does not answer."""
        consumer, self._consumer = self._consumer, None
        self._membership = None
        super().close()
        if consumer is None:
            return
        leaving = threading.Thread(target=_leave, args=(consumer,), name="kafka-leave", daemon=True)
        leaving.start()
        leaving.join(_CLOSE_SECONDS)
        if leaving.is_alive():
            _log.warning("the cluster does not answer; the group was left without its consent")

    def granted(self, timeout_seconds: float) -> frozenset[int]:
        """Return the partitions that the group has given to this member."""
        member = self._member()
        deadline = self._clock.monotonic() + timeout_seconds
        while not self._is_positioned:
            self._answer_group()
            if member.granted or self._clock.monotonic() >= deadline:
                member.has_moved = False  # what moved until now is in the answer
                break
        return frozenset(member.granted)

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions, which must be granted."""
        member = self._member()
        if not member.granted.issuperset(positions):
            raise PositionMoved(f"{self.topic}: the group has moved partitions")
        self._stop_reading(member)
        wanted = [TopicPartition(self.topic, at, offset) for at, offset in positions.items()]
        self._call(lambda consumer: consumer.incremental_assign(wanted))
        member.reading = set(positions)
        self._is_positioned = True

    def rest(self, timeout_seconds: float) -> None:
        """Read nothing for a while, but answer the group."""
        self._stop_reading(self._member())
        deadline = self._clock.monotonic() + timeout_seconds
        while self._clock.monotonic() < deadline:
            self._answer_group()

    def commit(self, positions: Mapping[int, int]) -> None:
        """Send the offsets as this member, without waiting for the answer."""
        offsets = [
            TopicPartition(self.topic, at, offset)
            for at, offset in positions.items()
            if at in self._member().granted
        ]
        if offsets:
            self._call(lambda consumer: consumer.commit(offsets=offsets, asynchronous=True))

    def _take(self, max_records: int, wait_seconds: float) -> list[Any]:
        messages = super()._take(max_records, wait_seconds)
        member = self._member()
        if member.has_moved:  # what came beside it is read again from where the table stands
            member.has_moved = self._is_positioned = False
            raise PositionMoved(f"{self.topic}: the group has moved partitions")
        return messages

    def _readable(self, message: Message) -> QueueMessage:
        error = message.error()
        if error is not None and error.code() == KafkaError._MAX_POLL_EXCEEDED:  # noqa: SLF001 - idem
            self._is_positioned = False
            raise PositionMoved(f"{self.topic}: the group gave this member up; it joins again")
        return super()._readable(message)

    def _stop_reading(self, member: _Membership) -> None:
        self._is_positioned = False
        mine = [TopicPartition(self.topic, at) for at in member.reading]
        member.reading = set()
        if mine:
            self._call(lambda consumer: consumer.incremental_unassign(mine))

    def _answer_group(self) -> None:
        """Let the client run the group's callbacks; messages are not wanted here."""
        message: Message | None = self._call(lambda consumer: consumer.poll(_SLICE_SECONDS))
        error = message.error() if message is not None else None
        if error is not None and error.code() not in _PASSES_BY:
            raise QueueUnavailable(f"Kafka at {self._bootstrap}: {error.str()}")

    def _member(self) -> _Membership:
        if self._membership is None:
            raise QueueUnavailable("the adapter is not open")
        return self._membership

    def _consumer_settings(self) -> dict[str, Any]:
        return {
            **self._settings({**kafka_settings.CONSUMER, **kafka_settings.MEMBER}),
            **kafka_settings.member_rules(self._group_id),
            "on_commit": _note_commit,
        }


def _change(action: Any, partitions: list[TopicPartition]) -> None:  # noqa: ANN401 - the client's method
    try:
        action(partitions)
    except (KafkaException, RuntimeError) as error:
        _log.warning("changing the assignment: %s", error)


def _leave(consumer: Consumer) -> None:
    try:
        consumer.close()
    except (KafkaException, RuntimeError) as error:
        _log.warning("leaving the group: %s", error)


def _note_commit(error: KafkaError | None, _partitions: Sequence[TopicPartition]) -> None:
    """Log what became of a commit; called by the client, must not raise."""
    if error is not None and error.code() not in _TAKEN_OVER:
        _log.warning("offsets not committed: %s", error.str())
