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
        "group.protocol",
        "metadata.broker.list",
        "partition.assignment.strategy",
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

MEMBER: Final[Mapping[str, Any]] = {
    "max.poll.interval.ms": 60_000,  # a process that stopped ticking gives its partitions up
    "session.timeout.ms": 15_000,  # and one that was killed, sooner
}
"""Beside CONSUMER, in group mode."""

PRODUCER: Final[Mapping[str, Any]] = {
    "enable.idempotence": True,
    "linger.ms": 0,
    "message.max.bytes": 100_000_000,  # the cluster knows its limit; a dead letter may be long
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


def member_rules(group_id: str) -> dict[str, Any]:
    """Return the same for a member of a group that shares the partitions."""
    return {
        **consumer_rules(group_id),
        "partition.assignment.strategy": "cooperative-sticky",
    }


def checked(client: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``kafka.client`` of the configuration as the client's settings.

    Raises ConfigError for one that jobu decides; values are never repeated.
    """
    for name in client:
        if name in _DECIDED or name.endswith("_cb"):
            raise ConfigError(f"kafka.client.{name} is decided by jobu; remove it")
    return dict(client)
