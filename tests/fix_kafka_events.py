"""A job store and a topic of a Kafka cluster, the mock or the real one, for the tests of ingest."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from tests.fix_events import GROUP, Events

if TYPE_CHECKING:
    from jobu_core.dispatcher.queue.adapter.base import BaseQueueAdapter
    from tests.fix_kafka import KafkaServer


@dataclass
class KafkaEvents(Events):
    """The same sentences, on a topic of a Kafka cluster."""

    bootstrap: str = ""

    def adapter(self) -> BaseQueueAdapter:
        """Return a new adapter on the topic."""
        return KafkaAdapter(self.bootstrap, self.topic, GROUP)


@pytest.fixture
def on_mock(events: Events, mock_kafka: str) -> KafkaEvents:
    """Return a topic of the mock broker; it exists once something was sent to it."""
    return KafkaEvents(events.engine, events.settings, bootstrap=mock_kafka)


@pytest.fixture
def on_kafka(events: Events, real_kafka: KafkaServer) -> KafkaEvents:
    """Return a fresh topic of the real Kafka."""
    topic = f"events-{uuid.uuid4().hex[:8]}"
    real_kafka.create_topic(topic)
    base = events.configured(kafka_topic=topic)
    return KafkaEvents(
        base.engine,
        base.settings,
        topic=topic,
        bootstrap=real_kafka.bootstrap,
    )


def settle(events: KafkaEvents, count: int) -> None:
    """Tick, each time as a new process, until ``count`` messages were read."""
    consumed = 0
    for _ in range(20):
        with events.ingest() as ingest:
            consumed += ingest.tick(1.0).consumed
        if consumed >= count:
            break
    assert consumed == count
