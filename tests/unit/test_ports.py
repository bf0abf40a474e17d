"""Ports are told free from taken, and their settings are named."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from jobu_core.clock import ManualClock
from jobu_core.config import AdminSettings, QueueSettings, Settings
from jobu_core.errors import ConfigError, PortTaken
from jobu_core.services import kafka, stack
from jobu_core.services.ports import Address, bind, can_bind, can_connect
from jobu_core.services.waiting import wait_until


@pytest.fixture
def listener() -> socket.socket:
    """Return a socket that listens on a free port of the loopback address."""
    return socket.create_server(("127.0.0.1", 0))


def test_a_port_that_somebody_listens_on_is_taken(listener: socket.socket) -> None:
    """Connecting works and binding does not."""
    with listener:
        where = Address("localhost", listener.getsockname()[1])
        assert can_connect(where)
        assert not can_bind(where)


def test_a_free_port_is_free_until_bound() -> None:
    """Binding holds the port on every address that the name has."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        where = Address("localhost", probe.getsockname()[1])
    assert can_bind(where)
    bound = bind(where)
    try:
        for each in bound:
            each.listen()
        assert not can_bind(where)
    finally:
        for each in bound:
            each.close()


def test_an_address_of_another_machine_is_a_configuration_error() -> None:
    """TEST-NET-1 belongs to nobody."""
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        bind(Address("192.0.2.1", 9092))


def test_a_taken_broker_port_names_both_ways_out(listener: socket.socket) -> None:
    """Move the broker, or use the Kafka that is there."""
    port = listener.getsockname()[1]
    settings = Settings(
        root=Path("/srv/shop"),
        queue_dispatcher=QueueSettings(kafka_bootstrap_servers=f"localhost:{port}"),
    )
    with listener, pytest.raises(PortTaken) as caught:
        kafka.require_port(settings)
    for word in (str(port), "queue_dispatcher.kafka_bootstrap_servers", "kafka.adopt_existing"):
        assert word in str(caught.value)


def test_a_taken_web_port_names_its_setting(listener: socket.socket) -> None:
    """The message can be acted on without reading documentation."""
    port = listener.getsockname()[1]
    settings = Settings(root=Path("/srv/shop"), admin=AdminSettings(dagster_port=port))
    with listener, pytest.raises(PortTaken, match=rf"port {port} .*admin\.dagster_port"):
        stack.require_web_port(settings)


@pytest.mark.parametrize("servers", ["a:1,b:2", "localhost", "localhost:http"])
def test_the_embedded_broker_needs_one_host_and_port(servers: str) -> None:
    """What cannot be listened on is refused with the settings that make sense of it."""
    settings = Settings(
        root=Path("/srv/shop"),
        queue_dispatcher=QueueSettings(kafka_bootstrap_servers=servers),
    )
    with pytest.raises(ConfigError, match="JOBU_STACK=external"):
        kafka.address(settings)


def test_waiting_ends_at_its_deadline_and_looks_once_more() -> None:
    """A condition that comes true during the last pause still counts."""
    clock = ManualClock()
    assert not wait_until(lambda: False, seconds=1, poll_seconds=0.3, clock=clock)
    assert clock.monotonic() == pytest.approx(1.2)
    assert wait_until(lambda: clock.monotonic() >= 2.2, seconds=1, poll_seconds=0.3, clock=clock)
