"""Ingest on librdkafka's mock broker and on a real Apache Kafka, with kcat as the sender."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from jobu_core.dispatcher.queue.adapter import kafka
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.dispatcher.queue.adapter.kafka_message import UNREADABLE_HEADERS
from jobu_core.errors import QueueUnavailable, TopicChanged
from tests.fix_events import GROUP, event
from tests.fix_kafka_events import settle

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from jobu_core.dispatcher.queue.ingest import Ingest
    from tests.fix_kafka import KafkaServer
    from tests.fix_kafka_events import KafkaEvents

_KILLED_BEFORE_COMMIT = """
import os, signal, sys
from pathlib import Path
from jobu_core.config import Settings
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.dispatcher.queue.ingest import Ingest
from jobu_core.store.engine import open_engine
from tests.fix_cron import FakeCatalog

url, bootstrap, topic, group, root = sys.argv[1:]

class Dying(KafkaAdapter):
    def commit(self, positions):
        os.kill(os.getpid(), signal.SIGKILL)

queue = {"kafka_topic": topic, "kafka_group_id": group}
settings = Settings(root=Path(root), queue_dispatcher=queue)
with Ingest(open_engine(url), FakeCatalog(), settings, Dying(bootstrap, topic, group)) as ingest:
    while True:
        ingest.tick(1.0)
"""


@pytest.fixture(params=["mock", pytest.param("kafka", marks=pytest.mark.kafka)])
def anywhere(request: pytest.FixtureRequest) -> KafkaEvents:
    """Run the test on both brokers."""
    found: KafkaEvents = request.getfixturevalue(f"on_{request.param}")
    return found


def produce_with_kcat(kcat: str, events: KafkaEvents, lines: bytes, *options: bytes) -> None:
    """Send one message per line to partition 0."""
    where = ("-b", events.bootstrap, "-t", events.topic, "-p", "0")
    command: list[str | bytes] = [kcat, "-P", *where, *options]
    subprocess.run(command, input=lines, check=True, timeout=30, capture_output=True)


def tick_until_outage(ingest: Ingest) -> None:
    """Tick until the broker's silence is noticed; a quiet tick proves nothing yet."""
    for _ in range(5):
        ingest.tick(3)


def test_the_documented_line_from_kcat_becomes_an_execution(
    anywhere: KafkaEvents,
    kcat: str,
) -> None:
    """Verbatim, from a client that is not ours."""
    anywhere.catalog.names += ("sample_handler",)
    line = b'{"handler_name": "sample_handler", "params": {"key": "value"}}\n'
    produce_with_kcat(kcat, anywhere, line)
    settle(anywhere, 1)
    (row,) = anywhere.executions()
    assert (row.handler_name, row.params) == ("sample_handler", {"key": "value"})
    assert row.message_time is not None


def test_a_hundred_lines_of_garbage_become_dead_letters(anywhere: KafkaEvents, kcat: str) -> None:
    """Binary, truncated, nested, numbers beyond reason: each has a code, no tick fails."""
    kinds = [b"garbage", b"\xff\xfe", b'{"a":', b"[" * 5000, b"9" * 5000, b"NaN", b"[]", b"1e400"]
    lines = [kinds[number % len(kinds)] for number in range(100)]
    produce_with_kcat(kcat, anywhere, b"\n".join(lines) + b"\n")
    anywhere.send(event())
    settle(anywhere, 101)
    assert len(anywhere.codes()) == 100
    assert len(anywhere.executions()) == 1
    assert anywhere.ledger() == 101


def test_a_header_name_that_is_not_text_cannot_stop_ingest(
    anywhere: KafkaEvents,
    kcat: str,
) -> None:
    """The client cannot return such headers at all; the message counts without them.

    Fifty, because the error hides once the interpreter has specialised the call.
    """
    produce_with_kcat(kcat, anywhere, b"bad\n" * 50, b"-H", b"ok=1", b"-H", b"\xff\xfe=1")
    anywhere.send(event())
    settle(anywhere, 51)
    assert {letter.headers for letter in anywhere.letters()} == {UNREADABLE_HEADERS}
    assert len(anywhere.executions()) == 1


def test_timestamps_beyond_the_calendar_cannot_stop_ingest(on_mock: KafkaEvents) -> None:
    """A producer may name any 64-bit number; then the message has no time."""
    producer = Producer({"bootstrap.servers": on_mock.bootstrap})
    for timestamp in (2**62, -(2**62), 253402300800000):
        producer.produce(on_mock.topic, event(), partition=0, timestamp=timestamp)
    producer.flush(10)
    settle(on_mock, 3)
    assert [row.message_time for row in on_mock.executions()] == [None, None, None]


def test_kill_9_between_transaction_and_broker_commit_repeats_nothing(
    anywhere: KafkaEvents,
    engine: Engine,
    tmp_path: Path,
) -> None:
    """A real process is killed at that point; the next one starts after its messages."""
    anywhere.send(event(params={"n": 1}), b"bad")
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    arguments = [url, anywhere.bootstrap, anywhere.topic, GROUP, str(tmp_path)]
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED_BEFORE_COMMIT, *arguments],
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert killed.returncode == -signal.SIGKILL
    anywhere.send(event(params={"n": 2}))
    settle(anywhere, 1)
    assert anywhere.params() == [{"n": 1}, {"n": 2}]
    assert anywhere.codes() == ["not_json"]


def test_another_mock_broker_is_another_topic(
    on_mock: KafkaEvents,
    request: pytest.FixtureRequest,
) -> None:
    """The mock cannot name topics, but its cluster id tells that everything began anew."""
    on_mock.send(event(params={"n": "old"}))
    settle(on_mock, 1)
    with KafkaAdapter(on_mock.bootstrap, on_mock.topic, GROUP) as adapter:
        assert adapter.identity().topic_id is None
    other = Producer({"bootstrap.servers": "-", "test.mock.num.brokers": 1})
    broker = next(iter(other.list_topics(timeout=10).brokers.values()))
    on_mock.bootstrap = f"{broker.host}:{broker.port}"
    on_mock.send(event(params={"n": "new"}))
    settle(on_mock, 1)
    assert [row.kafka_generation for row in on_mock.executions()] == [1, 2]
    assert request.fixturenames


@pytest.mark.kafka
def test_a_topic_recreated_on_kafka_stops_or_begins_a_generation(
    on_kafka: KafkaEvents,
    real_kafka: KafkaServer,
) -> None:
    """Kafka names topics by id: as many messages as before do not hide the change."""
    on_kafka.send(event(params={"n": "old"}))
    settle(on_kafka, 1)
    real_kafka.delete_topic(on_kafka.topic)
    real_kafka.create_topic(on_kafka.topic)
    on_kafka.send(event(params={"n": "new"}), event(params={"n": "newer"}))
    on_kafka.settings = on_kafka.configured(on_recreate="stop").settings
    with pytest.raises(TopicChanged, match="identity"):
        on_kafka.tick()
    on_kafka.settings = on_kafka.configured(on_recreate="new_generation").settings
    settle(on_kafka, 2)
    assert on_kafka.params() == [{"n": "old"}, {"n": "new"}, {"n": "newer"}]
    assert [row.kafka_generation for row in on_kafka.executions()] == [1, 2, 2]


@pytest.mark.kafka
def test_records_that_kafka_dropped_are_a_gap(
    on_kafka: KafkaEvents,
    real_kafka: KafkaServer,
) -> None:
    """Retention ran ahead of us while nobody read."""
    on_kafka.tick()
    on_kafka.send(*(event(params={"n": number}) for number in range(5)))
    real_kafka.truncate(on_kafka.topic, 0, 3)
    settle(on_kafka, 2)
    assert on_kafka.gaps() == [(0, 0, 3)]
    assert on_kafka.ledger() == 5


@pytest.mark.kafka
def test_an_open_ingest_survives_retention_and_silence(
    on_kafka: KafkaEvents,
    real_kafka: KafkaServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker stops answering: an outage. It is back: the same ingest goes on."""
    monkeypatch.setattr(kafka, "_REQUEST_SECONDS", 2.0)
    with on_kafka.ingest() as ingest:
        on_kafka.send(event(params={"n": 1}))
        assert ingest.tick(5).consumed == 1
        began = time.monotonic()
        with real_kafka.paused(), pytest.raises(QueueUnavailable):
            tick_until_outage(ingest)
        assert time.monotonic() - began < 30
        on_kafka.send(event(params={"n": 2}))
        assert ingest.tick(10).consumed == 1
    assert on_kafka.params() == [{"n": 1}, {"n": 2}]
    assert on_kafka.letters() == []


@pytest.mark.kafka
def test_holes_that_transactions_leave_are_no_gaps(on_kafka: KafkaEvents) -> None:
    """Control records take offsets, aborted messages are never seen."""
    producer = Producer(
        {"bootstrap.servers": on_kafka.bootstrap, "transactional.id": on_kafka.topic},
    )
    producer.init_transactions(30)
    for number in range(4):
        producer.begin_transaction()
        producer.produce(on_kafka.topic, event(params={"n": number}), partition=0)
        if number % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    on_kafka.send(event(params={"n": "last"}))
    settle(on_kafka, 3)
    assert on_kafka.params() == [{"n": 0}, {"n": 2}, {"n": "last"}]
    assert on_kafka.gaps() == []
    assert on_kafka.tick().messages == ()


@pytest.mark.kafka
def test_a_topic_that_appears_later_is_read_by_the_same_ingest(
    on_kafka: KafkaEvents,
    real_kafka: KafkaServer,
) -> None:
    """A broker that makes no topics by itself: a clear message, then all of the topic."""
    topic = f"later-{uuid.uuid4().hex[:8]}"
    on_kafka.settings = on_kafka.configured(
        kafka_topic=topic,
        kafka_auto_offset_reset="latest",
    ).settings
    on_kafka.topic = topic
    with on_kafka.ingest() as ingest:
        tick = ingest.tick(0.5)
        assert f"topic {topic} at {on_kafka.bootstrap} does not exist yet" in tick.messages[0]
        real_kafka.create_topic(topic)
        on_kafka.send(event(params={"n": 1}))
        assert ingest.tick(10).consumed == 1
