"""What happens to a topic while it is read, on a real Kafka: retention, growth, lost offsets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from jobu_core.dispatcher.queue.adapter import kafka
from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.errors import ConfigError, Outage, QueueUnavailable
from tests.fix_events import GROUP, event
from tests.fix_kafka_events import settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobu_core.dispatcher.queue.ingest import Ingest
    from tests.fix_kafka import KafkaServer
    from tests.fix_kafka_events import KafkaEvents

pytestmark = pytest.mark.kafka

_DEADLINE = 30.0


def until(condition: Callable[[], bool], ingest: Ingest) -> list[str]:
    """Tick until the condition holds, outages included; return what was said."""
    said: list[str] = []
    deadline = time.monotonic() + _DEADLINE
    while not condition():
        assert time.monotonic() < deadline, said
        try:
            said += ingest.tick(0.5).messages
        except Outage as outage:
            said.append(str(outage))
    return said


def numbered(events: KafkaEvents, *numbers: int) -> None:
    """Send numbered events to partition 0."""
    events.send(*(event(params={"n": number}) for number in numbers))


@pytest.mark.parametrize(("policy", "expected"), [("earliest", [1, 2]), ("latest", [2])])
def test_the_reset_policy_decides_the_first_start_only(
    on_kafka: KafkaEvents, policy: str, expected: list[int]
) -> None:
    """Later starts know their position, whatever the policy says by then."""
    numbered(on_kafka, 1)
    first = on_kafka.configured(kafka_auto_offset_reset=policy)
    on_kafka.settings = first.settings
    on_kafka.tick()
    numbered(on_kafka, 2)
    on_kafka.settings = on_kafka.configured(kafka_auto_offset_reset="none").settings
    settle(on_kafka, len(expected) - len(on_kafka.executions()))
    assert [each["n"] for each in on_kafka.params()] == expected


def test_without_a_policy_the_first_start_is_refused(on_kafka: KafkaEvents) -> None:
    """And nothing is stored that a later start would take for a position."""
    numbered(on_kafka, 1)
    on_kafka.settings = on_kafka.configured(kafka_auto_offset_reset="none").settings
    with pytest.raises(ConfigError, match="kafka_auto_offset_reset"):
        on_kafka.tick()
    assert on_kafka.positions() == {}


def test_offsets_that_kafka_has_forgotten_are_not_missed(
    on_kafka: KafkaEvents, real_kafka: KafkaServer
) -> None:
    """They expire after a week without a commit; the table does not."""
    numbered(on_kafka, 1, 2)
    settle(on_kafka, 2)
    committed = on_kafka.adapter()
    with committed as adapter, on_kafka.ingest() as ingest:
        until(lambda: adapter.committed() == {0: 2}, ingest)
    real_kafka.forget_group(GROUP)
    numbered(on_kafka, 3)
    on_kafka.settings = on_kafka.configured(kafka_auto_offset_reset="latest").settings
    settle(on_kafka, 1)
    assert [each["n"] for each in on_kafka.params()] == [1, 2, 3]


def test_retention_overtakes_an_open_ingest(on_kafka: KafkaEvents, real_kafka: KafkaServer) -> None:
    """It was paused for longer than the topic keeps: a gap row, loudly, and the rest."""
    narrow = on_kafka.configured(max_pending=1).settings
    wide = on_kafka.settings
    on_kafka.settings = narrow
    numbered(on_kafka, 1, 2, 3, 4)
    with on_kafka.ingest() as ingest:
        until(lambda: len(on_kafka.executions()) == 1, ingest)
        assert "paused" in ingest.tick(0.1).messages[-1]  # what the client held is let go
        real_kafka.truncate(on_kafka.topic, 0, 3)
        ingest._queue = wide.queue_dispatcher
        said = until(lambda: len(on_kafka.executions()) == 2, ingest)
    assert any("LOST" in text and "1 to 2" in text for text in said)
    assert on_kafka.gaps() == [(0, 1, 3)]
    assert on_kafka.ledger() == 4


def test_partitions_added_under_an_open_ingest_are_read_from_their_start(
    on_kafka: KafkaEvents, real_kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the policy is latest: that was for the first start of the topic."""
    monkeypatch.setattr("jobu_core.dispatcher.queue.ingest.RECHECK_SECONDS", 0.2)
    on_kafka.settings = on_kafka.configured(kafka_auto_offset_reset="latest").settings
    with on_kafka.ingest() as ingest:
        ingest.tick(0.5)
        real_kafka.add_partitions(on_kafka.topic, 4)
        messages = [OutgoingMessage(event(), partition=at) for at in (2, 3)]
        sender = on_kafka.adapter()
        sender.publish(on_kafka.topic, messages)
        until(lambda: len(on_kafka.executions()) == 2, ingest)
    assert on_kafka.positions() == {(1, 0): 0, (1, 1): 0, (1, 2): 1, (1, 3): 1}


def test_a_topic_that_is_not_described_does_not_pass_for_the_one_that_was_read(
    on_kafka: KafkaEvents, real_kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its end and its return, or where a broker is late, nobody can say who it is."""
    monkeypatch.setattr(kafka, "_REQUEST_SECONDS", 1.0)
    with on_kafka.adapter() as adapter:
        known = adapter.identity()
        assert known.topic_id is not None
        real_kafka.delete_topic(on_kafka.topic)
        with pytest.raises(QueueUnavailable):
            adapter.identity()
        real_kafka.create_topic(on_kafka.topic)
        assert known.differs_from(adapter.identity())


def test_a_topic_recreated_under_an_open_ingest_begins_a_generation(
    on_kafka: KafkaEvents, real_kafka: KafkaServer
) -> None:
    """Nothing of the new topic is written under the old one's positions."""
    on_kafka.settings = on_kafka.configured(on_recreate="new_generation").settings
    numbered(on_kafka, 1, 2)
    with on_kafka.ingest() as ingest:
        until(lambda: len(on_kafka.executions()) == 2, ingest)
        real_kafka.delete_topic(on_kafka.topic)
        real_kafka.create_topic(on_kafka.topic)
        numbered(on_kafka, 3, 4, 5)
        until(lambda: len(on_kafka.executions()) == 5, ingest)
    generations = [row.kafka_generation for row in on_kafka.executions()]
    assert generations == [1, 1, 2, 2, 2]
    assert [each["n"] for each in on_kafka.params()] == [1, 2, 3, 4, 5]
