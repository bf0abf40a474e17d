"""The embedded Kafka broker serves any client on the configured port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from jobu_core.config import KafkaSettings
from jobu_core.errors import PortTaken
from jobu_core.services import kafka
from jobu_core.services.ensure import ensure_kafka
from jobu_core.services.layout import layout_of
from jobu_core.services.waiting import wait_until

if TYPE_CHECKING:
    from jobu_core.config import Settings

_MESSAGE = b'{"handler_name": "sample_handler", "params": {"key": "value"}}'


def _bootstrap(settings: Settings) -> str:
    return settings.queue_dispatcher.kafka_bootstrap_servers


def _produce(settings: Settings, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": _bootstrap(settings)})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(20) == 0


def _consume(settings: Settings, topic: str, expected: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": _bootstrap(settings), "group.id": "reader"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes] = []

    def complete() -> bool:
        for message in consumer.consume(100, 0.2):
            value = message.value()
            assert isinstance(value, bytes)
            values.append(value)
        return len(values) >= expected

    assert wait_until(complete, seconds=20)
    consumer.close()
    return values


def test_what_is_produced_is_consumed_through_the_configured_port(embedded: Settings) -> None:
    """Clients never need the mock's own random port; large values pass whole."""
    ensure_kafka(embedded)
    values = [b"a", b"x" * 900_000, b""]
    _produce(embedded, "orders", values)
    assert _consume(embedded, "orders", 3) == values


def test_clients_are_told_the_configured_port_only(embedded: Settings) -> None:
    """Metadata shows one broker, on our port, with the recorded cluster id."""
    ensure_kafka(embedded)
    found = Producer({"bootstrap.servers": _bootstrap(embedded)}).list_topics(timeout=10)
    (broker,) = found.brokers.values()
    assert broker.port == kafka.address(embedded).port
    record = kafka.read_record(layout_of(embedded))
    assert record is not None
    assert found.cluster_id == record.cluster_id
    assert embedded.queue_dispatcher.kafka_topic in found.topics


def test_kcat_produces_and_reads_in_a_group(embedded: Settings, kcat: str) -> None:
    """The command of the README works, a consumer group as well."""
    ensure_kafka(embedded)
    base = [kcat, "-b", _bootstrap(embedded)]
    produce = [*base, "-P", "-t", "jobu-events"]
    subprocess.run(produce, input=_MESSAGE, check=True, timeout=30)
    group = [*base, "-G", "readers", "-e", "-q", "-X", "auto.offset.reset=earliest", "jobu-events"]
    done = subprocess.run(group, check=True, capture_output=True, timeout=60)
    assert json.loads(done.stdout) == json.loads(_MESSAGE)


def test_a_restarted_broker_is_another_cluster(embedded: Settings) -> None:
    """Its memory is gone: positions must not be taken for those of the new one."""
    ensure_kafka(embedded)
    layout = layout_of(embedded)
    first = kafka.read_record(layout)
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    assert wait_until(lambda: not psutil.pid_exists(first.pid), seconds=10)
    ensure_kafka(embedded)
    second = kafka.read_record(layout)
    assert second is not None
    assert second.cluster_id != first.cluster_id


def test_a_client_that_speaks_no_kafka_is_cut_off(embedded: Settings) -> None:
    """A browser on the port neither hangs nor harms the others."""
    ensure_kafka(embedded)
    where = kafka.address(embedded)
    with socket.create_connection((where.host, where.port), timeout=10) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert browser.recv(100) == b""
    _produce(embedded, "orders", [b"a"])


def test_a_port_of_somebody_else_is_reported_with_its_setting(embedded: Settings) -> None:
    """Nothing is started, and the message names both ways out."""
    where = kafka.address(embedded)
    with (
        socket.create_server(("127.0.0.1", where.port)),
        pytest.raises(PortTaken, match=r"kafka_bootstrap_servers.*adopt_existing"),
    ):
        ensure_kafka(embedded)


def test_an_existing_broker_is_used_when_that_is_allowed(embedded: Settings) -> None:
    """With adopt_existing nothing is started and nothing is refused."""
    adopting = embedded.model_copy(update={"kafka": KafkaSettings(adopt_existing=True)})
    with socket.create_server(("127.0.0.1", kafka.address(embedded).port)):
        ensure_kafka(adopting)
    assert kafka.read_record(layout_of(embedded)) is None
