"""A queue inside the process: the contract without a network, for tests and simulation."""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jobu_core.clock import SystemClock
from jobu_core.dispatcher.queue.adapter.base import (
    BaseQueueAdapter,
    OutgoingMessage,
    TopicIdentity,
    Watermarks,
)
from jobu_core.errors import QueueUnavailable
from jobu_core.models import QueueMessage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobu_core.clock import Clock

_WAIT_SLICE_SECONDS: Final = 0.005


@dataclass(slots=True)
class _Topic:
    topic_id: str
    logs: dict[int, list[QueueMessage]]
    low: dict[int, int] = field(default_factory=lambda: defaultdict(int))


class MemoryBroker:
    """Topics that any number of MemoryAdapters share; safe between threads."""

    def __init__(self) -> None:
        """Start empty, reachable, with an identity of its own."""
        self.lock = threading.RLock()
        self.cluster_id = f"memory-{uuid.uuid4()}"
        self.is_down = False
        self.topics: dict[str, _Topic] = {}
        self.commits: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Make ``name`` with ``partitions``; an existing topic only grows."""
        with self.lock:
            made = self.topics.setdefault(name, _Topic(str(uuid.uuid4()), {}))
            for partition in range(partitions):
                made.logs.setdefault(partition, [])

    def delete_topic(self, name: str) -> None:
        """Forget ``name``; made again, it has another identity."""
        with self.lock:
            self.topics.pop(name, None)

    def truncate(self, name: str, partition: int, low: int) -> None:
        """Drop every message before ``low``, as retention would."""
        with self.lock:
            self.topics[name].low[partition] = low

    def set_down(self, *, down: bool) -> None:
        """Make every call of every adapter fail, or work again."""
        with self.lock:
            self.is_down = down

    def topic(self, name: str) -> _Topic | None:
        """Return a topic, or None; raises QueueUnavailable while the broker is down."""
        if self.is_down:
            raise QueueUnavailable("the in-memory broker is down")
        return self.topics.get(name)


class MemoryAdapter(BaseQueueAdapter):
    """Reads and writes a MemoryBroker."""

    def __init__(
        self,
        broker: MemoryBroker,
        topic: str,
        group_id: str = "jobu",
        clock: Clock | None = None,
    ) -> None:
        """Read ``topic`` of ``broker`` as ``group_id``; ``clock`` measures the waits."""
        super().__init__(topic)
        self._clock = clock or SystemClock()
        self._broker = broker
        self._group_id = group_id
        self._next: dict[int, int] | None = None

    @property
    def address(self) -> str:
        """A name, for there is no address."""
        return "memory"

    def open(self) -> None:
        """Nothing to open; positions are to be given with ``seek``."""
        self._next = None

    def close(self) -> None:
        """Forget the positions."""
        self._next = None

    def partitions(self) -> tuple[int, ...]:
        """Return the topic's partitions in order; empty while it does not exist."""
        with self._broker.lock:
            found = self._broker.topic(self.topic)
            return tuple(sorted(found.logs)) if found else ()

    def identity(self) -> TopicIdentity:
        """Return the broker's and the topic's ids."""
        with self._broker.lock:
            found = self._broker.topic(self.topic)
            return TopicIdentity(self._broker.cluster_id, found.topic_id if found else None)

    def watermarks(self, partition: int) -> Watermarks:
        """Return which offsets of ``partition`` are kept."""
        with self._broker.lock:
            found = self._existing()
            return Watermarks(found.low[partition], _end(found, partition))

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions from now on, each from its offset."""
        self._next = dict(positions)

    def fetch(self, max_records: int, timeout_seconds: float) -> list[QueueMessage]:
        """Return what is there, up to ``max_records``; wait for a first message."""
        deadline = self._clock.monotonic() + timeout_seconds
        while True:
            with self._broker.lock:
                positions, self._next = self._next, None  # unknown if taking fails
                taken, self._next = self._take(positions, max_records)
            if taken or self._clock.monotonic() >= deadline:
                return taken
            self._clock.sleep(_WAIT_SLICE_SECONDS)

    def rest(self, timeout_seconds: float) -> None:
        """Wait; the broker has no groups to stay in."""
        self._next = None
        self._clock.sleep(timeout_seconds)

    def commit(self, positions: Mapping[int, int]) -> None:
        """Remember the group's offsets in the broker."""
        with self._broker.lock:
            self._existing()
            self._broker.commits[self._group_id, self.topic].update(positions)

    def committed(self) -> Mapping[int, int]:
        """Return what the group has committed."""
        with self._broker.lock:
            return dict(self._broker.commits[self._group_id, self.topic])

    def lag(self, positions: Mapping[int, int]) -> Mapping[int, int]:
        """Return per partition how many offsets lie between the position and the end."""
        return {at: max(0, self.watermarks(at).high - offset) for at, offset in positions.items()}

    def publish(self, topic: str, messages: Sequence[OutgoingMessage]) -> list[tuple[int, int]]:
        """Append ``messages``; a topic that does not exist is made with one partition."""
        with self._broker.lock:
            if self._broker.topic(topic) is None:
                self._broker.create_topic(topic)
            target = self._broker.topics[topic]
            return [_append(topic, target, message) for message in messages]

    def _existing(self) -> _Topic:
        found = self._broker.topic(self.topic)
        if found is None:
            raise QueueUnavailable(f"topic {self.topic} does not exist")
        return found

    def _take(
        self,
        positions: Mapping[int, int] | None,
        max_records: int,
    ) -> tuple[list[QueueMessage], dict[int, int]]:
        if positions is None:
            raise QueueUnavailable("no position: seek first")
        topic = self._existing()
        taken: list[QueueMessage] = []
        moved = dict(positions)
        for partition, offset in sorted(positions.items()):
            low, high = topic.low[partition], _end(topic, partition)
            if not low <= offset <= high:
                raise QueueUnavailable(f"partition {partition} no longer holds offset {offset}")
            wanted = topic.logs[partition][offset : offset + max_records - len(taken)]
            taken += wanted
            moved[partition] = offset + len(wanted)
        return taken, moved


def _end(topic: _Topic, partition: int) -> int:
    if partition not in topic.logs:
        raise QueueUnavailable(f"partition {partition} does not exist")
    return len(topic.logs[partition])


def _append(name: str, topic: _Topic, message: OutgoingMessage) -> tuple[int, int]:
    partition = message.partition
    if partition is None:
        partition = sum(message.key or b"") % len(topic.logs)
    offset = _end(topic, partition)
    topic.logs[partition].append(
        QueueMessage(
            topic=name,
            partition=partition,
            offset=offset,
            key=message.key,
            value=message.value,
            headers=message.headers,
            timestamp=message.timestamp,
        ),
    )
    return partition, offset
