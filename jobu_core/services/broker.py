"""The embedded Kafka broker: librdkafka's mock broker behind a forwarder.

In memory, one broker, four partitions a topic, for development. ``python -m
jobu_core.services.broker`` runs it in the foreground; supervisord does.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid
from typing import TYPE_CHECKING, Final

import structlog
from confluent_kafka import Producer

from jobu_core.config import load_settings
from jobu_core.errors import JobuError, PortTaken
from jobu_core.services import kafka
from jobu_core.services.forwarder import Forwarder, Identity
from jobu_core.services.layout import layout_of
from jobu_core.services.ports import bind

if TYPE_CHECKING:
    import socket

    from jobu_core.config import Settings
    from jobu_core.services.ports import Address

_log: Final = structlog.get_logger(__name__)
_START_SECONDS: Final = 10.0
_ANY_ADDRESS: Final = frozenset({"", "0.0.0.0", "::", "localhost"})  # noqa: S104 - compared


def start_mock(topic: str) -> tuple[Producer, Identity]:
    """Start a mock broker in this process, with ``topic`` in it.

    The broker lives as long as the returned client does.
    """
    client = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "replaced:1"})
    metadata = client.list_topics(topic=topic, timeout=_START_SECONDS)
    (broker,) = metadata.brokers.values()
    return client, Identity(broker.host, broker.port, str(metadata.cluster_id))


def shown_identity(actual: Identity, where: Address) -> Identity:
    """Return what clients shall see: the configured address, a cluster id of our own.

    The mock's id is made from a memory address and could come again; positions are
    tied to the id, so each start needs a new one.
    """
    host = actual.host if where.host in _ANY_ADDRESS else where.host
    return Identity(host, where.port, f"jobu-{uuid.uuid4().hex}")


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; raises PortTaken when the port is in use."""
    where = kafka.address(settings)
    listeners = listen(where)
    client, actual = start_mock(settings.queue_dispatcher.kafka_topic)
    shown = shown_identity(actual, where)
    layout = layout_of(settings)
    layout.prepare()
    kafka.write_record(
        layout,
        shown.cluster_id,
        settings.queue_dispatcher.kafka_bootstrap_servers,
    )
    _log.info("broker started", address=str(where), cluster_id=shown.cluster_id)
    asyncio.run(_serve(Forwarder(actual, shown), listeners))
    _log.info("broker ended; its messages are gone")
    del client


def listen(where: Address) -> list[socket.socket]:
    """Bind the broker's port; PortTaken names the setting."""
    try:
        return bind(where)
    except OSError as error:
        raise PortTaken(
            f"port {where.port} ({kafka.SETTING}) is taken by another program"
        ) from error


async def _serve(forwarder: Forwarder, listeners: list[socket.socket]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await forwarder.serve(listeners, stop)


def main() -> None:
    """Run the broker of the project in the working directory or JOBU_ROOT."""
    try:
        run(load_settings())
    except JobuError as error:
        sys.stderr.write(f"jobu broker: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
