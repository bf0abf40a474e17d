"""order_by_key: messages of one key run one after the other, in the order they were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.config import QueueSettings
from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.dead_letters import redrive
from jobu_core.dispatcher.queue.ordering import serial_key
from jobu_core.store.engine import transaction
from tests.fix_events import TOPIC, Events, event
from tests.launch_support import Jobs

if TYPE_CHECKING:
    from collections.abc import Sequence


def send(events: Events, keys: Sequence[bytes | None], partition: int = 0) -> None:
    """Put one event per key on the topic."""
    messages = [OutgoingMessage(event(), key=key, partition=partition) for key in keys]
    events.adapter().publish(TOPIC, messages)


@pytest.fixture
def ordered(events: Events) -> Events:
    """Order by key."""
    return events.configured(order_by_key=True)


def claimed_keys(events: Events) -> list[bytes | None]:
    """Claim what is due, end it at once, and return its message keys."""
    jobs = Jobs(events.engine)
    jobs.worker(slots=50)
    ids = jobs.claimed_ids()
    found = [jobs.row(each).message_key for each in ids]
    with transaction(events.engine) as connection:
        connection.execute(
            sa.text(
                "UPDATE job_executions SET status = 'CANCELED', lease_token = NULL"
                " WHERE status = 'QUEUED'",
            ),
        )
    return found


def test_one_of_each_key_is_launched_at_a_time(ordered: Events) -> None:
    """The next of a key starts when the one before has ended; no key waits for nobody."""
    send(ordered, [b"a", b"a", b"b", None, b"a", None, b"b"])
    ordered.tick()
    assert sorted(claimed_keys(ordered), key=str) == [None, None, b"a", b"b"]
    assert sorted(claimed_keys(ordered), key=str) == [b"a", b"b"]
    assert claimed_keys(ordered) == [b"a"]
    assert claimed_keys(ordered) == []


def test_the_oldest_of_a_key_goes_first(ordered: Events) -> None:
    """Over many transactions the ids follow the offsets, and the claim follows the ids."""
    small = ordered.configured(ingest_batch=2, kafka_max_poll_records=1)
    send(small, [b"k"] * 7)
    small.tick()
    offsets = [row.kafka_offset for row in small.executions() if row.serial_key]
    assert offsets == list(range(7))


def test_without_the_setting_nobody_waits(events: Events) -> None:
    """The key is kept with the execution, and means nothing."""
    send(events, [b"a", b"a"])
    events.tick()
    assert [row.serial_key for row in events.executions()] == [None, None]
    assert claimed_keys(events) == [b"a", b"a"]


def test_a_redriven_message_keeps_its_place_in_the_key(ordered: Events) -> None:
    """It waits for what runs of its key, as it would have at first."""
    messages = [
        OutgoingMessage(event("late"), key=b"a", partition=0),
        OutgoingMessage(event(), key=b"a", partition=0),
    ]
    ordered.adapter().publish(TOPIC, messages)
    ordered.tick()
    (letter,) = ordered.letters()
    ordered.catalog.names += ("late",)
    redrive(ordered.engine, ordered.catalog, ordered.settings, letter.id, who="tester")
    first, again = ordered.executions()
    assert first.serial_key is not None
    assert again.serial_key == first.serial_key


@pytest.mark.parametrize("key", [b"", b"\x00", b"\xff\xfe", b"a b", b"x" * 1_000_000])
def test_any_bytes_make_a_key_that_can_be_stored(ordered: Events, key: bytes) -> None:
    """Binary, empty, and longer than an index entry may be."""
    send(ordered, [key, key])
    assert ordered.tick().dead == 0
    first, second = ordered.executions()
    assert first.message_key == key
    assert first.serial_key is not None
    assert first.serial_key == second.serial_key
    assert len(first.serial_key) < 500


def test_different_keys_never_wait_for_each_other() -> None:
    """Also where one key reads like what another becomes."""
    queue = QueueSettings(order_by_key=True)
    binary = serial_key(queue, "t", b"\xff")
    assert binary is not None
    imitation = binary.removeprefix("event:t:").encode()
    keys = [b"", b"a", b"A", b"\xff", b"\x00", b"key:a", imitation, b"x" * 200, b"x" * 201]
    assert len({serial_key(queue, "t", key) for key in keys}) == len(keys)
    assert serial_key(queue, "t", b"a") != serial_key(queue, "u", b"a")
    assert serial_key(queue, "t", None) is None
