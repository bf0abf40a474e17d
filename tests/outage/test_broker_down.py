"""Kafka goes away in the middle of a batch: nothing is lost, doubled, or called bad (rule 5)."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.errors import Outage, QueueUnavailable
from jobu_core.services.forwarder import Forwarder, Identity
from jobu_core.services.ports import Address, bind
from jobu_core.services.waiting import wait_until
from tests.fix_events import GROUP, Events, event
from tests.fix_kafka import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobu_core.models import QueueMessage
    from tests.fix_kafka import KafkaServer

_COUNT = 30
_PORTIONS = {"kafka_max_poll_records": 2, "ingest_batch": 10}


class Disturbed(KafkaAdapter):
    """Something happens to the broker just before the ``at``-th fetch."""

    def __init__(self, bootstrap: str, topic: str, at: int, disturb: Callable[[], None]) -> None:
        """Read as any ingest does until then."""
        super().__init__(bootstrap, topic, GROUP)
        self._left = at
        self._disturb = disturb

    @property
    def is_disturbed(self) -> bool:
        """Whether it has happened."""
        return self._left <= 0

    def fetch(self, max_records: int, timeout_seconds: float) -> list[QueueMessage]:
        """Fetch, after what happens."""
        self._left -= 1
        if self._left == 0:
            self._disturb()
        return super().fetch(max_records, timeout_seconds)


class Front:
    """The only way to a broker behind; ``down`` cuts every client and refuses new ones."""

    def __init__(self, actual: Identity) -> None:
        """Serve, always on the same port and under the same name."""
        self._actual = actual
        self._shown = Identity("127.0.0.1", free_port(), "one-cluster")
        self.up()

    @property
    def bootstrap(self) -> str:
        """Where clients find it."""
        return f"{self._shown.host}:{self._shown.port}"

    def up(self) -> None:
        """Serve."""
        self._listeners = bind(Address(self._shown.host, self._shown.port))
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(10)

    def down(self) -> None:
        """Be gone."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await Forwarder(self._actual, self._shown).serve(self._listeners, self._stop)


@pytest.fixture
def front() -> Iterator[Front]:
    """Put a front before a mock broker of this test's own."""
    owner = Producer({"bootstrap.servers": "-", "test.mock.num.brokers": 1})
    metadata = owner.list_topics(timeout=10)
    (broker,) = metadata.brokers.values()
    opened = Front(Identity(broker.host, broker.port, str(metadata.cluster_id)))
    yield opened
    opened.down()
    owner.flush(1)


def send(bootstrap: str, topic: str) -> None:
    """Put the messages of a test on the topic, one in six of them bad."""
    with_bad = [event(params={"n": n}) if n % 6 else b"no event" for n in range(_COUNT)]
    messages = [OutgoingMessage(value, partition=n % 2) for n, value in enumerate(with_bad)]
    adapter = KafkaAdapter(bootstrap, topic, GROUP)
    adapter.publish(topic, messages)
    adapter.close()


def assert_each_came_out_once(events: Events) -> None:
    """Check that every good message is a row, every bad one a dead letter, and nothing else."""
    good = [n for n in range(_COUNT) if n % 6]
    assert sorted(each["n"] for each in events.params()) == good
    assert events.codes() == ["not_json"] * (_COUNT - len(good))
    assert events.ledger() == _COUNT
    assert sum(events.positions().values()) == _COUNT
    assert events.gaps() == []


@pytest.mark.rule(1, 5)
@pytest.mark.parametrize(("at", "written"), [(2, 0), (7, 10), (13, 20)])
def test_a_broker_that_dies_mid_batch_costs_nothing(
    events: Events,
    front: Front,
    at: int,
    written: int,
) -> None:
    """The batch under way is given up whole; after the outage it is read again from its start."""
    send(front.bootstrap, events.topic)
    disturbed = events.configured(**_PORTIONS)
    adapter = Disturbed(front.bootstrap, events.topic, at, front.down)
    with disturbed.ingest(adapter) as ingest:
        with pytest.raises(QueueUnavailable):
            ingest.tick(5.0)
        assert events.ledger() == written
        front.up()

        def is_read() -> bool:
            with suppress(Outage):
                ingest.tick(0.5)
            return events.ledger() >= _COUNT

        assert wait_until(is_read, seconds=30)
    assert_each_came_out_once(events)


@pytest.mark.kafka
@pytest.mark.rule(1, 5)
def test_a_kafka_that_hangs_mid_batch_costs_nothing(
    events: Events, real_kafka: KafkaServer
) -> None:
    """A real broker, frozen between two fetches of one batch, and going on later."""
    topic = f"hangs-{uuid4().hex[:8]}"
    real_kafka.create_topic(topic)
    send(real_kafka.bootstrap, topic)
    disturbed = replace(events.configured(kafka_topic=topic, **_PORTIONS), topic=topic)
    with ExitStack() as frozen:
        adapter = Disturbed(
            real_kafka.bootstrap,
            topic,
            3,
            lambda: frozen.enter_context(real_kafka.paused()),
        )
        with disturbed.ingest(adapter) as ingest:

            def is_read() -> bool:
                with suppress(Outage):
                    ingest.tick(1.0)
                return disturbed.ledger() >= _COUNT

            assert wait_until(lambda: is_read() or adapter.is_disturbed, seconds=30)
            assert adapter.is_disturbed
            assert disturbed.ledger() < _COUNT
            frozen.close()
            assert wait_until(is_read, seconds=60)
    assert_each_came_out_once(disturbed)
