"""The dead letter topic follows the table: at least one copy each, and none without a row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.clock import ManualClock
from jobu_core.dispatcher.queue import mirror
from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.adapter.memory import MemoryAdapter
from jobu_core.dispatcher.queue.copies import read_copy
from jobu_core.dispatcher.queue.mirror import Mirror
from jobu_core.errors import InvalidInput, QueueUnavailable, StoreUnavailable
from jobu_core.models import QueueMessage
from jobu_core.store.engine import transaction
from jobu_core.store.mirroring import take_owed
from tests.fix_events import GROUP, TOPIC, Events, event

if TYPE_CHECKING:
    from collections.abc import Sequence

COPIES = "dead"


class RefusesCopies(MemoryAdapter):
    """An adapter whose cluster does not take some messages, or none for a while."""

    too_large = b""
    is_away = False

    def publish(self, topic: str, messages: Sequence[OutgoingMessage]) -> list[tuple[int, int]]:
        """Refuse a batch that holds the value which is too large."""
        if self.is_away:
            raise QueueUnavailable(f"not delivered to topic {topic}")
        if self.too_large and any(message.value == self.too_large for message in messages):
            raise InvalidInput(f"topic {topic} refuses the message: too large")
        return super().publish(topic, messages)


@pytest.fixture
def mirrored(events: Events) -> Events:
    """Name a dead letter topic."""
    return events.configured(dead_letter_topic=COPIES)


def copies(events: Events, topic: str = COPIES) -> list[QueueMessage]:
    """Return what the dead letter topic holds."""
    found = events.broker.topics.get(topic)
    return list(found.logs[0]) if found is not None else []


def values(events: Events, topic: str = COPIES) -> list[bytes | None]:
    """Return the values of the copies."""
    return [message.value for message in copies(events, topic)]


def send_due(events: Events, adapter: MemoryAdapter, clock: ManualClock) -> list[str]:
    """Send what is owed, as a tick does."""
    return Mirror(events.engine, events.settings, adapter, clock).send_due()


def test_a_copy_is_the_original_and_says_why_it_is_there(mirrored: Events) -> None:
    """Bytes, headers and time are unchanged; the context comes in headers behind them."""
    sent_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    headers = (("trace", b"\xff\x00"), ("none", None), ("trace", b"2"))
    message = OutgoingMessage(b"\x00\xff", b"\xfe", headers, sent_at, partition=1)
    mirrored.adapter().publish(TOPIC, [message])
    tick = mirrored.tick()
    assert f"1 dead letters copied to topic {COPIES}" in tick.messages
    (copy,) = copies(mirrored)
    (letter,) = mirrored.letters()
    assert (copy.key, copy.value, copy.timestamp) == (b"\xfe", b"\x00\xff", sent_at)
    assert copy.headers[:3] == headers
    assert dict(copy.headers[3:]) == {
        "jobu-dead-letter": str(letter.id).encode(),
        "jobu-stage": b"decode",
        "jobu-code": b"not_utf8",
        "jobu-message": letter.message.encode(),
        "jobu-group": GROUP.encode(),
        "jobu-topic": TOPIC.encode(),
        "jobu-generation": b"1",
        "jobu-partition": b"1",
        "jobu-offset": b"0",
    }
    assert letter.mirrored_at is not None


def test_a_copy_can_be_read_back(mirrored: Events) -> None:
    """Everything of the letter is in it, also after it was refused and copied once more."""
    mirrored.send(b"bad")
    mirrored.tick()
    (letter,) = mirrored.letters()
    (copy,) = copies(mirrored)
    again = OutgoingMessage(copy.value, copy.key, copy.headers, copy.timestamp, partition=0)
    mirrored.adapter().publish(TOPIC, [again])
    mirrored.tick()
    first, second = (read_copy(each) for each in copies(mirrored))
    assert first is not None
    assert second is not None
    assert (first.letter_id, first.coordinates) == (letter.id, letter.coordinates)
    assert first.original.headers == ()
    assert second.original.headers == copy.headers
    assert second.coordinates.offset == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"jobu-offset": b"5"},
        {"jobu-group": b"another"},
        {"jobu-stage": b"nowhere"},
        {"jobu-partition": b"x"},
        {"jobu-topic": b"\xff"},
        {"jobu-code": b"c" * 65},
        {"jobu-code": None, "jobu-stage": None},
    ],
    ids=str,
)
def test_a_copy_that_was_tampered_with_is_not_ours(
    mirrored: Events, changed: dict[str, bytes | None]
) -> None:
    """The id follows from the coordinates: both must fit."""
    mirrored.send(b"bad")
    mirrored.tick()
    (copy,) = copies(mirrored)
    headers = tuple((name, changed.get(name, value)) for name, value in copy.headers)
    forged = QueueMessage(COPIES, 0, 0, copy.key, copy.value, headers, copy.timestamp)
    assert read_copy(forged) is None
    shortened = QueueMessage(COPIES, 0, 0, None, b"bad", copy.headers[1:], None)
    assert read_copy(shortened) is None


def test_without_a_topic_nothing_is_owed(events: Events) -> None:
    """A letter of that time is not sent when a topic is named later."""
    events.send(b"bad")
    assert all("copied" not in text for text in events.tick().messages)
    later = events.configured(dead_letter_topic=COPIES)
    later.send(b"worse")
    later.tick()
    assert values(later) == [b"worse"]


def test_a_letter_goes_to_the_topic_that_was_named_when_it_was_refused(mirrored: Events) -> None:
    """Renaming the topic before the copy was sent changes nothing about it."""
    adapter = RefusesCopies(mirrored.broker, TOPIC, GROUP)
    adapter.is_away = True
    mirrored.send(b"bad")
    mirrored.tick(adapter)
    renamed = mirrored.configured(dead_letter_topic="other")
    renamed.send(b"worse")
    renamed.tick()
    assert (values(renamed), values(renamed, "other")) == ([b"bad"], [b"worse"])


def test_only_refused_messages_are_copied(mirrored: Events) -> None:
    """More than one batch of them, each once."""
    bad = [f"bad {number}".encode() for number in range(2 * mirror.BATCH + 3)]
    mirrored.send(*bad, event(), event())
    mirrored.tick()
    assert sorted(each or b"" for each in values(mirrored)) == sorted(bad)
    assert len(mirrored.executions()) == 2


def test_ingest_does_not_wait_for_the_dead_letter_topic(mirrored: Events) -> None:
    """The letter is in the table; the copy is tried again after a pause, and the tick says so."""
    clock = ManualClock()
    adapter = RefusesCopies(mirrored.broker, TOPIC, GROUP, clock)
    adapter.is_away = True
    mirrored.send(b"bad")
    assert "wait to be copied" in "; ".join(mirrored.tick(adapter).messages)
    assert mirrored.positions()[1, 0] == 1
    assert mirrored.letters()[0].mirrored_at is None
    sender = Mirror(mirrored.engine, mirrored.settings, adapter, clock)
    assert "not delivered" in sender.send_due()[0]
    adapter.is_away = False
    assert sender.send_due() == []
    clock.advance(mirror.RETRY_SECONDS)
    assert sender.send_due() == [f"1 dead letters copied to topic {COPIES}"]
    assert values(mirrored) == [b"bad"]


def test_a_message_that_the_cluster_will_never_take_does_not_block_the_others(
    mirrored: Events,
) -> None:
    """With its added headers it may be too large; the table keeps it and says why."""
    adapter = RefusesCopies(mirrored.broker, TOPIC, GROUP)
    adapter.too_large = b"very large"
    mirrored.send(b"one", b"very large", b"two")
    mirrored.tick(adapter)
    assert values(mirrored) == [b"one", b"two"]
    assert [letter.mirror_error for letter in mirrored.letters()] == [
        None,
        f"topic {COPIES} refuses the message: too large",
        None,
    ]
    mirrored.tick(adapter)
    assert values(mirrored) == [b"one", b"two"]


def test_a_store_that_cannot_be_written_sends_nothing(mirrored: Events) -> None:
    """A standby after a failover can be read: without this order it would fill the topic."""
    adapter, clock = RefusesCopies(mirrored.broker, TOPIC, GROUP), ManualClock()
    adapter.is_away = True
    mirrored.send(b"bad")
    mirrored.tick(adapter)
    adapter.is_away = False

    def read_only(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    sa.event.listen(mirrored.engine, "begin", read_only)
    for _ in range(3):
        with pytest.raises((StoreUnavailable, sa.exc.DBAPIError)):
            send_due_strictly(mirrored, adapter, clock)
    assert values(mirrored) == []
    sa.event.remove(mirrored.engine, "begin", read_only)
    send_due(mirrored, adapter, clock)
    assert values(mirrored) == [b"bad"]


def send_due_strictly(events: Events, adapter: MemoryAdapter, clock: ManualClock) -> None:
    """Send what is owed; an outage that was only said is raised."""
    if said := send_due(events, adapter, clock):
        raise StoreUnavailable(said[0])


def test_what_one_process_sends_another_leaves_alone(mirrored: Events) -> None:
    """Members of a group all send: no letter by two at once."""
    adapter = RefusesCopies(mirrored.broker, TOPIC, GROUP)
    adapter.is_away = True
    mirrored.send(b"bad")
    mirrored.tick(adapter)
    adapter.is_away = False
    with transaction(mirrored.engine) as connection:
        assert len(take_owed(connection, 10)) == 1
        assert send_due(mirrored, adapter, ManualClock()) == []
    assert values(mirrored) == []


def test_a_store_outage_never_fills_the_topic(mirrored: Events) -> None:
    """The transaction that refuses a message fails again and again: no copy is sent."""

    def cut(_: object) -> None:
        with transaction(mirrored.engine) as connection:
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    " AND application_name = 'jobu-test'",
                ),
            )

    mirrored.send(b"bad", event())
    with mirrored.ingest() as ingest:
        mirrored.catalog.refuse = cut
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                ingest.tick(0.2)
        assert values(mirrored) == []
        mirrored.catalog.refuse = lambda _: None
        ingest.tick(0.2)
    assert values(mirrored) == [b"bad"]
