"""The adapter that ingest reads with: alone, or as one member of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.dispatcher.queue.adapter.kafka_group import KafkaGroupAdapter

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
