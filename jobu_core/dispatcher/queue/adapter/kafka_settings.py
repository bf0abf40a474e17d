"""Which librdkafka settings jobu decides, and its defaults for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jobu_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_DECIDED: Final = frozenset(
    {
        "allow.auto.create.topics",
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "metadata.broker.list",
    },
)

COMMON: Final[Mapping[str, Any]] = {
    "client.id": "jobu",
    "log.connection.close": False,
    "socket.timeout.ms": 10_000,
}

CONSUMER: Final[Mapping[str, Any]] = {
    "fetch.wait.max.ms": 100,  # a running fetch delays a seek by as much
    "queued.max.messages.kbytes": 16_384,
}

PRODUCER: Final[Mapping[str, Any]] = {
    "enable.idempotence": True,
    "linger.ms": 0,
    "message.timeout.ms": 10_000,
    "topic.metadata.propagation.max.ms": 5_000,
}


def consumer_rules(group_id: str) -> dict[str, Any]:
    """Return the consumer settings that correctness depends on."""
    return {
        "group.id": group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": False,
        "allow.auto.create.topics": False,  # a typo in kafka_topic must not make a topic
        "auto.offset.reset": "error",  # never jump silently: gaps are decided by ingest
    }


def checked(client: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``kafka.client`` of the configuration as the client's settings.

    Raises ConfigError for one that jobu decides; values are never repeated.
    """
    for name in client:
        if name in _DECIDED or name.endswith("_cb"):
            raise ConfigError(f"kafka.client.{name} is decided by jobu; remove it")
    return dict(client)
