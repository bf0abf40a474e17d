"""The queue contract of adapter/base.py, held by every adapter on every broker."""

from __future__ import annotations

import threading
import time
import uuid
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from jobu_core.dispatcher.queue.adapter import kafka
from jobu_core.dispatcher.queue.adapter.base import BaseQueueAdapter, OutgoingMessage
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.dispatcher.queue.adapter.kafka_group import KafkaGroupAdapter
from jobu_core.dispatcher.queue.adapter.memory import MemoryAdapter, MemoryBroker
from jobu_core.errors import QueueUnavailable
from tests.fix_kafka import KafkaServer, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jobu_core.models import QueueMessage

_TIMEOUT = 10.0


class Queue(ABC):
    """A broker as the suite needs it."""

    @abstractmethod
    def adapter(self, topic: str, group: str = "suite") -> BaseQueueAdapter:
        """Return a closed adapter."""

    @abstractmethod
    def create_topic(self, name: str) -> None:
        """Make a topic of at least two partitions."""

    @abstractmethod
    def unreachable(self) -> BaseQueueAdapter:
        """Return an adapter whose broker does not answer."""

    def new_topic(self) -> str:
        """Make a topic with a name of its own."""
        name = f"topic-{uuid.uuid4().hex[:8]}"
        self.create_topic(name)
        return name


class MemoryQueue(Queue):
    """The broker inside the process."""

    def __init__(self) -> None:
        """Start an empty broker."""
        self._broker = MemoryBroker()

    def adapter(self, topic: str, group: str = "suite") -> BaseQueueAdapter:
        """Return a closed adapter."""
        return MemoryAdapter(self._broker, topic, group)

    def create_topic(self, name: str) -> None:
        """Make a topic of two partitions."""
        self._broker.create_topic(name, 2)

    def unreachable(self) -> BaseQueueAdapter:
        """Return an adapter of a broker that is down."""
        broker = MemoryBroker()
        broker.set_down(down=True)
        return MemoryAdapter(broker, "any")


class KafkaQueue(Queue):
    """A Kafka cluster; ``server`` only where topics must be made by an administrator."""

    def __init__(self, bootstrap: str, server: KafkaServer | None = None) -> None:
        """Use the cluster at ``bootstrap``."""
        self._bootstrap = bootstrap
        self._server = server

    def adapter(self, topic: str, group: str = "suite") -> BaseQueueAdapter:
        """Return a closed adapter."""
        return KafkaAdapter(self._bootstrap, topic, group)

    def create_topic(self, name: str) -> None:
        """Make a topic: on the mock broker a producer's question is enough."""
        if self._server is not None:
            self._server.create_topic(name)
        else:
            Producer({"bootstrap.servers": self._bootstrap}).list_topics(name, timeout=_TIMEOUT)

    def unreachable(self) -> BaseQueueAdapter:
        """Return an adapter that points at a port nobody listens on."""
        return KafkaAdapter(f"127.0.0.1:{free_port()}", "any", "suite")


class Member(KafkaGroupAdapter):
    """A member that waits for its partitions, as ingest does, before it reads."""

    def seek(self, positions: Mapping[int, int]) -> None:
        """Wait until the group has given these, then read them."""
        deadline = time.monotonic() + _TIMEOUT
        while not self.granted(0.2).issuperset(positions):
            assert time.monotonic() < deadline, "the group gave no partitions"
        super().seek(positions)


class GroupQueue(KafkaQueue):
    """A Kafka cluster, read by members of groups; each is alone in its own."""

    def adapter(self, topic: str, group: str = "suite") -> BaseQueueAdapter:
        """Return a closed adapter."""
        return Member(self._bootstrap, topic, f"{group}-{uuid.uuid4().hex[:8]}")


@pytest.fixture(
    params=[
        "memory",
        "mock",
        pytest.param("kafka", marks=pytest.mark.kafka),
        pytest.param("group", marks=pytest.mark.kafka),
    ],
)
def queue(request: pytest.FixtureRequest) -> Queue:
    """Return each implementation on each broker in turn."""
    if request.param == "memory":
        return MemoryQueue()
    if request.param == "mock":
        return KafkaQueue(request.getfixturevalue("mock_kafka"))
    server = request.getfixturevalue("real_kafka")
    kind = GroupQueue if request.param == "group" else KafkaQueue
    return kind(server.bootstrap, server)


@pytest.fixture
def topic(queue: Queue) -> str:
    """Make a fresh topic of at least two partitions."""
    return queue.new_topic()


@pytest.fixture
def adapter(queue: Queue, topic: str) -> Iterator[BaseQueueAdapter]:
    """Open an adapter on the fresh topic."""
    with queue.adapter(topic) as opened:
        yield opened


def send(adapter: BaseQueueAdapter, values: Sequence[str], partition: int = 0) -> None:
    """Publish ``values`` to the adapter's own topic."""
    messages = [OutgoingMessage(value.encode(), partition=partition) for value in values]
    adapter.publish(adapter.topic, messages)


def fetch_until(adapter: BaseQueueAdapter, count: int, at_once: int = 100) -> list[QueueMessage]:
    """Fetch until ``count`` messages have come."""
    deadline = time.monotonic() + _TIMEOUT
    found: list[QueueMessage] = []
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} came"
        found += adapter.fetch(at_once, 0.5)
    return found


def values(messages: Sequence[QueueMessage]) -> list[str]:
    """Return the values as text."""
    return [(message.value or b"").decode() for message in messages]


def test_bytes_come_back_unchanged(adapter: BaseQueueAdapter, topic: str) -> None:
    """Key, value, headers (repeated, without value) and timestamp survive the queue."""
    sent = OutgoingMessage(
        value=b"\x00\xff not text",
        key=b"\xfe key",
        headers=(("a", b"1"), ("a", b"\xff"), ("none", None)),
        timestamp=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        partition=1,
    )
    assert adapter.publish(topic, [sent]) == [(1, 0)]
    adapter.seek({1: 0})
    (got,) = fetch_until(adapter, 1)
    assert (got.topic, got.partition, got.offset) == (topic, 1, 0)
    assert (got.key, got.value) == (sent.key, sent.value)
    assert (got.headers, got.timestamp) == (sent.headers, sent.timestamp)


def test_a_message_without_key_and_value_is_delivered(
    adapter: BaseQueueAdapter,
    topic: str,
) -> None:
    """A tombstone arrives as None, not as empty bytes."""
    adapter.publish(topic, [OutgoingMessage(None, partition=0), OutgoingMessage(b"", partition=0)])
    adapter.seek({0: 0})
    first, second = fetch_until(adapter, 2)
    assert (first.key, first.value, second.value) == (None, None, b"")


def test_every_message_comes_once_and_in_order(adapter: BaseQueueAdapter) -> None:
    """Small fetches over two partitions add up to everything, each partition in order."""
    numbers = [str(number) for number in range(150)]
    send(adapter, numbers, partition=0)
    send(adapter, numbers, partition=1)
    adapter.seek({0: 0, 1: 0})
    found = fetch_until(adapter, 300, at_once=7)
    for partition in (0, 1):
        mine = [message for message in found if message.partition == partition]
        assert values(mine) == numbers
        assert [message.offset for message in mine] == list(range(150))


def test_fetch_returns_at_most_what_was_asked(adapter: BaseQueueAdapter) -> None:
    """``max_records`` is a limit, also of one."""
    send(adapter, ["a", "b", "c"])
    adapter.seek({0: 0})
    assert values(fetch_until(adapter, 1, at_once=1)) == ["a"]
    assert len(adapter.fetch(2, _TIMEOUT)) <= 2


def test_reading_starts_where_seek_says(adapter: BaseQueueAdapter) -> None:
    """A seek forward skips, a seek back repeats; only named partitions are read."""
    send(adapter, ["a", "b", "c"])
    send(adapter, ["other"], partition=1)
    adapter.seek({0: 1})
    assert values(fetch_until(adapter, 2)) == ["b", "c"]
    adapter.seek({0: 0})
    assert values(fetch_until(adapter, 3)) == ["a", "b", "c"]
    adapter.seek({0: 2, 1: 0})
    assert sorted(values(fetch_until(adapter, 2))) == ["c", "other"]


def test_an_empty_topic_ends_in_time(adapter: BaseQueueAdapter) -> None:
    """Nothing to read is an empty list, after about the timeout."""
    adapter.seek({0: 0})
    began = time.monotonic()
    assert adapter.fetch(10, 0.4) == []
    assert 0.3 < time.monotonic() - began < 5


def test_a_waiting_fetch_returns_with_the_first_message(
    adapter: BaseQueueAdapter,
    queue: Queue,
    topic: str,
) -> None:
    """A message that arrives during the wait ends it."""
    adapter.seek({0: 0})
    assert adapter.fetch(10, 0.1) == []
    with queue.adapter(topic) as other:
        sender = threading.Timer(0.2, send, [other, ["late"]])
        sender.start()
        began = time.monotonic()
        assert values(adapter.fetch(10, _TIMEOUT)) == ["late"]
        assert time.monotonic() - began < _TIMEOUT / 2
        sender.join()


def test_a_missing_topic_has_no_partitions_until_it_exists(queue: Queue) -> None:
    """Asking for a topic neither fails nor makes it; later it is found."""
    name = f"later-{uuid.uuid4().hex[:8]}"
    with queue.adapter(name) as adapter:
        assert adapter.partitions() == ()
        assert adapter.partitions() == ()
        queue.create_topic(name)
        deadline = time.monotonic() + _TIMEOUT
        while not (found := adapter.partitions()):
            assert time.monotonic() < deadline
        assert found[:2] == (0, 1)
        send(adapter, ["first"])
        adapter.seek({0: adapter.watermarks(0).low})
        assert values(fetch_until(adapter, 1)) == ["first"]


def test_watermarks_and_lag_count_offsets(adapter: BaseQueueAdapter) -> None:
    """``high`` is the offset of the next message; lag is the distance to it."""
    assert (adapter.watermarks(0).low, adapter.watermarks(0).high) == (0, 0)
    send(adapter, ["a", "b", "c"])
    assert (adapter.watermarks(0).low, adapter.watermarks(0).high) == (0, 3)
    assert adapter.lag({0: 1, 1: 0}) == {0: 2, 1: 0}


def test_a_partition_that_does_not_exist_is_unavailable(adapter: BaseQueueAdapter) -> None:
    """Asking for its watermarks is an outage, not a crash."""
    with pytest.raises(QueueUnavailable):
        adapter.watermarks(99)


def test_commits_reach_the_queue(adapter: BaseQueueAdapter) -> None:
    """What was committed can be asked for; only this group's, only what was said."""
    send(adapter, ["a", "b"])
    assert adapter.committed() == {}
    adapter.seek({0: 0})
    adapter.commit({0: 2})
    deadline = time.monotonic() + _TIMEOUT
    while adapter.committed() != {0: 2}:
        assert time.monotonic() < deadline


def test_commits_do_not_move_the_reader(adapter: BaseQueueAdapter, queue: Queue) -> None:
    """A new adapter of the same group reads from where seek says, not from the commit."""
    send(adapter, ["a", "b"])
    adapter.commit({0: 2})
    with queue.adapter(adapter.topic) as other:
        other.seek({0: 0})
        assert values(fetch_until(other, 2)) == ["a", "b"]


def test_an_offset_that_is_gone_is_said_and_survived(adapter: BaseQueueAdapter) -> None:
    """Beyond the end is QueueUnavailable; after a new seek reading goes on."""
    send(adapter, ["a"])
    adapter.seek({0: 50})
    with pytest.raises(QueueUnavailable):
        fetch_until(adapter, 1)
    with pytest.raises(QueueUnavailable, match="seek"):
        adapter.fetch(1, 0.1)
    adapter.seek({0: 0})
    assert values(fetch_until(adapter, 1)) == ["a"]


def test_fetch_without_a_position_is_refused(adapter: BaseQueueAdapter) -> None:
    """The adapter never guesses where to start."""
    with pytest.raises(QueueUnavailable, match="seek"):
        adapter.fetch(1, 0.1)


def test_closing_is_repeatable_and_opening_again_works(adapter: BaseQueueAdapter) -> None:
    """After close there is no position; after open and seek everything works."""
    send(adapter, ["a"])
    adapter.seek({0: 0})
    adapter.close()
    adapter.close()
    with pytest.raises(QueueUnavailable):
        adapter.fetch(1, 0.1)
    adapter.open()
    adapter.open()
    adapter.seek({0: 0})
    assert values(fetch_until(adapter, 1)) == ["a"]


def test_identity_is_the_same_for_every_reader(adapter: BaseQueueAdapter, queue: Queue) -> None:
    """Two adapters see the same cluster and topic; another topic is not the same."""
    with queue.adapter(adapter.topic, "others") as other, queue.adapter(queue.new_topic()) as third:
        mine = adapter.identity()
        assert mine.cluster_id
        assert mine == other.identity()
        assert third.identity().cluster_id == mine.cluster_id
        if mine.topic_id is not None:
            assert mine.differs_from(third.identity())


def test_an_unreachable_queue_is_an_outage(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions and fetches end in QueueUnavailable within seconds, and close returns."""
    monkeypatch.setattr(kafka, "_REQUEST_SECONDS", 1.0)
    adapter = queue.unreachable()
    adapter.open()
    began = time.monotonic()
    with pytest.raises(QueueUnavailable):
        adapter.identity()
    adapter.seek({0: 0})
    with pytest.raises(QueueUnavailable):
        fetch_until(adapter, 1)
    adapter.close()
    assert time.monotonic() - began < 30
