"""The adapters that the configuration asks for: of the events, and of the dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.dispatcher.queue.adapter.kafka_group import KafkaGroupAdapter
from jobu_core.errors import ConfigError

if TYPE_CHECKING:
    from jobu_core.config import Settings
    from jobu_core.dispatcher.queue.adapter.base import BaseQueueAdapter


def make_reader(settings: Settings, bootstrap_servers: str) -> BaseQueueAdapter:
    """Return the adapter of the configured topic that ``queue_dispatcher.mode`` asks for.

    Nothing is connected yet. Raises ConfigError for a client setting that jobu decides.
    """
    queue = settings.queue_dispatcher
    kind = KafkaGroupAdapter if queue.mode == "group" else KafkaAdapter
    return kind(bootstrap_servers, queue.kafka_topic, queue.kafka_group_id, settings.kafka.client)


def make_dead_letter_reader(settings: Settings, bootstrap_servers: str) -> BaseQueueAdapter:
    """Return an adapter of the dead letter topic; ConfigError when there is none."""
    queue = settings.queue_dispatcher
    if queue.dead_letter_topic is None:
        raise ConfigError("queue_dispatcher.dead_letter_topic is not set: there are no copies")
    group, topic = queue.kafka_group_id, queue.dead_letter_topic
    return KafkaAdapter(bootstrap_servers, topic, group, settings.kafka.client)
