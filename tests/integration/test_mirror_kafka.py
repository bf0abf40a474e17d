"""Copies of dead letters on a real Kafka: what arrives, and what counts as sent."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, TopicPartition

from jobu_core.config import KafkaSettings
from jobu_core.dispatcher.queue import mirror
from jobu_core.dispatcher.queue.adapter import kafka
from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.dispatcher.queue.adapter.reader import make_reader
from jobu_core.errors import InvalidInput, QueueUnavailable
from tests.fix_events import GROUP

if TYPE_CHECKING:
    from confluent_kafka import Message

    from jobu_core.dispatcher.queue.ingest import IngestTick
    from tests.fix_kafka import KafkaServer
    from tests.fix_kafka_events import KafkaEvents

pytestmark = pytest.mark.kafka

_DEADLINE = 30.0
_SMALL = 2_000
"""What the topic of dead letters takes at most, in bytes."""


@pytest.fixture
def mirrored(on_kafka: KafkaEvents) -> KafkaEvents:
    """Name a topic for dead letters that does not exist yet; a lack of it is noticed soon."""
    on_kafka.settings = on_kafka.configured(dead_letter_topic=f"{on_kafka.topic}-dead").settings
    client = KafkaSettings(client={"topic.metadata.propagation.max.ms": 200})
    on_kafka.settings = on_kafka.settings.model_copy(update={"kafka": client})
    return on_kafka


def copies_topic(events: KafkaEvents) -> str:
    """Return the name of the topic of dead letters."""
    return f"{events.topic}-dead"


def tick(events: KafkaEvents) -> IngestTick:
    """Tick once as a new process, with the client's settings of the configuration."""
    with events.ingest(make_reader(events.settings, events.bootstrap)) as ingest:
        return ingest.tick(1.0)


def read(events: KafkaEvents, count: int) -> list[Message]:
    """Return the copies by the client's own means, in order, and see that there are no more."""
    consumer = Consumer({"bootstrap.servers": events.bootstrap, "group.id": "other"})
    where = TopicPartition(copies_topic(events), 0, 0)
    assert consumer.get_watermark_offsets(where, 10)[1] == count
    consumer.assign([where])
    found: list[Message] = []
    deadline = time.monotonic() + _DEADLINE
    while len(found) < count:
        assert time.monotonic() < deadline
        found += consumer.consume(count - len(found), 0.2)
    consumer.close()
    return found


def headers_of(message: Message) -> tuple[tuple[str, object], ...]:
    """Return the headers, in order; the client's types do not say that they are a list."""
    found = message.headers()
    assert isinstance(found, list)
    return tuple((name, value) for name, value in found)


def test_a_copy_holds_what_the_producer_had_sent(
    mirrored: KafkaEvents, real_kafka: KafkaServer
) -> None:
    """Bytes, key, headers (repeated, empty, null) and time, for a reader that knows no jobu."""
    real_kafka.create_topic(copies_topic(mirrored), 1)
    every = bytes(range(256))
    headers = (("h", every), ("h", b""), ("none", None))
    sent_at = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    message = OutgoingMessage(every, every, headers, sent_at, partition=0)
    tombstone = OutgoingMessage(None, partition=0)
    mirrored.adapter().publish(mirrored.topic, [message, tombstone])
    assert tick(mirrored).dead == 2
    copy, empty = read(mirrored, 2)
    assert (copy.value(), copy.key()) == (every, every)
    assert copy.timestamp()[1] == int(sent_at.timestamp() * 1000)
    found = headers_of(copy)
    assert found[:3] == headers
    assert dict(found[3:])["jobu-topic"] == mirrored.topic.encode()
    assert (empty.value(), empty.key()) == (None, None)
    assert dict(headers_of(empty))["jobu-code"] == b"tombstone"


def test_a_topic_that_is_missing_is_owed_its_copies(
    mirrored: KafkaEvents, real_kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The letter is in the table and the position moved; a topic made later is found."""
    monkeypatch.setattr(mirror, "RETRY_SECONDS", 0.2)
    mirrored.send(b"bad")
    with mirrored.ingest(make_reader(mirrored.settings, mirrored.bootstrap)) as ingest:
        said = ingest.tick(1.0).messages
        assert any("wait to be copied" in text for text in said)
        assert mirrored.letters()[0].mirrored_at is None
        assert mirrored.positions()[1, 0] == 1
        real_kafka.create_topic(copies_topic(mirrored), 1)
        deadline = time.monotonic() + _DEADLINE
        while mirrored.letters()[0].mirrored_at is None:
            assert time.monotonic() < deadline
            ingest.tick(0.2)
    assert [copy.value() for copy in read(mirrored, 1)] == [b"bad"]


def test_a_copy_that_the_topic_will_never_take_is_left_out(
    mirrored: KafkaEvents, real_kafka: KafkaServer
) -> None:
    """It is named in the table; its neighbours arrive, and nothing is tried for ever."""
    real_kafka.create_topic(copies_topic(mirrored), 1, **{"max.message.bytes": str(_SMALL)})
    large = uuid.uuid4().bytes * _SMALL  # cannot be compressed below the limit
    mirrored.send(b"one", large, b"two")
    tick(mirrored)
    tick(mirrored)
    errors = [letter.mirror_error for letter in mirrored.letters()]
    assert [error is None for error in errors] == [True, False, True]
    assert "refuses the message" in str(errors[1])
    end = KafkaAdapter(mirrored.bootstrap, copies_topic(mirrored), GROUP)
    with end:
        copies = read(mirrored, end.watermarks(0).high)
    assert {copy.value() for copy in copies} == {b"one", b"two"}


def test_a_message_counts_as_published_when_the_cluster_says_so(
    mirrored: KafkaEvents, real_kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent broker, a missing topic, a message beyond the limit: each is said."""
    monkeypatch.setattr(kafka, "_DELIVERY_SECONDS", 1.0)
    topic = copies_topic(mirrored)
    with make_reader(mirrored.settings, mirrored.bootstrap) as adapter:
        with pytest.raises(QueueUnavailable, match="not delivered"):
            adapter.publish(topic, [OutgoingMessage(b"x")])
        real_kafka.create_topic(topic, 1, **{"max.message.bytes": str(_SMALL)})
        with pytest.raises(InvalidInput, match="refuses the message"):
            adapter.publish(topic, [OutgoingMessage(uuid.uuid4().bytes * _SMALL)])
        assert adapter.publish(topic, [OutgoingMessage(b"x")]) == [(0, 0)]
        with real_kafka.paused(), pytest.raises(QueueUnavailable, match="no confirmation"):
            adapter.publish(topic, [OutgoingMessage(b"y")])
