"""Dead letters are redriven once per payload, or discarded; both leave a trace."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.dead_letters import discard, redrive
from jobu_core.errors import Conflict, InvalidInput, NotFound
from jobu_core.models import Coordinates, DeadLetter, DeadLetterStatus, ParamSource, Trigger
from jobu_core.store.dead_letters import (
    dead_letter_id,
    find_dead_letter,
    get_dead_letter,
    list_dead_letters,
)
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution
from tests.fix_events import GROUP, TOPIC, Events, event

if TYPE_CHECKING:
    from uuid import UUID

_SENT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def letter(events: Events) -> DeadLetter:
    """Make one dead letter of an event whose handler is not there yet."""
    message = OutgoingMessage(event("late", params={"n": 1}), key=b"k", timestamp=_SENT)
    events.adapter().publish(TOPIC, [message])
    events.tick()
    (made,) = events.letters()
    return made


def again(events: Events, letter_id: UUID, payload: bytes | None = None) -> int:
    """Redrive as tester."""
    return redrive(
        events.engine,
        events.catalog,
        events.settings,
        letter_id,
        edited_payload=payload,
        who="tester",
    )


def reread(events: Events, letter: DeadLetter) -> DeadLetter:
    """Return the row as it is now."""
    with transaction(events.engine) as connection:
        return get_dead_letter(connection, letter.id)


def test_a_redriven_letter_becomes_an_execution(events: Events, letter: DeadLetter) -> None:
    """Once the handler is there: a redrive with the original's key, time and coordinates."""
    events.catalog.names += ("late",)
    made = again(events, letter.id)
    with transaction(events.engine) as connection:
        row = get_execution(connection, made)
    assert (row.handler_name, row.params) == ("late", {"n": 1})
    assert (row.trigger, row.param_source) == (Trigger.REDRIVE, ParamSource.EVENT)
    assert (row.message_key, row.message_time) == (b"k", _SENT)
    assert (row.kafka_topic, row.kafka_offset) == (TOPIC, letter.coordinates.offset)
    assert row.dedupe_key == f"redrive:{letter.id}:1"
    now = reread(events, letter)
    assert (now.status, now.execution_id, now.redrive_count) == (
        DeadLetterStatus.REDRIVEN,
        made,
        1,
    )
    assert events.ledger() == 1


def test_redriving_again_returns_the_same_execution(events: Events, letter: DeadLetter) -> None:
    """Idempotent, also with many at once."""
    events.catalog.names += ("late",)
    made: list[int] = []
    threads = [
        threading.Thread(target=lambda: made.append(again(events, letter.id))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made)) == 1
    assert len(events.executions()) == 1


def test_an_edited_payload_is_a_redrive_of_its_own(events: Events, letter: DeadLetter) -> None:
    """The original bytes stay; the same edit twice is one execution."""
    first = again(events, letter.id, event("echo", params={"n": 2}))
    assert again(events, letter.id, event("echo", params={"n": 2})) == first
    assert again(events, letter.id) == first
    second = again(events, letter.id, event("echo", params={"n": 3}))
    assert second != first
    now = reread(events, letter)
    assert (now.value, now.edited_payload) == (letter.value, event("echo", params={"n": 3}))
    assert (now.redrive_count, now.execution_id) == (2, second)
    assert events.params() == [{"n": 2}, {"n": 3}]


def test_a_letter_that_is_still_refused_stays_as_it_was(
    events: Events,
    letter: DeadLetter,
) -> None:
    """The reason is said with its code; nothing is written."""
    with pytest.raises(InvalidInput, match="handler_unknown"):
        again(events, letter.id)
    with pytest.raises(InvalidInput, match="not_json"):
        again(events, letter.id, b"nonsense")
    assert reread(events, letter) == letter
    assert events.executions() == []


def test_a_discarded_letter_is_settled(events: Events, letter: DeadLetter) -> None:
    """Discarding twice is once; it cannot be redriven any more."""
    discard(events.engine, letter.id, who="tester", why="test data")
    discard(events.engine, letter.id, who="tester")
    assert reread(events, letter).status is DeadLetterStatus.DISCARDED
    with pytest.raises(Conflict, match="discarded"):
        again(events, letter.id, event("echo"))
    assert _audit(events) == [("dead_letter.discard", "tester", "test data")]


def test_a_redriven_letter_cannot_be_discarded(events: Events, letter: DeadLetter) -> None:
    """Its execution exists already."""
    made = again(events, letter.id, event("echo"))
    with pytest.raises(Conflict, match=str(made)):
        discard(events.engine, letter.id, who="tester")
    assert _audit(events) == [("dead_letter.redrive", "tester", None)]


def test_a_pruned_execution_is_not_made_again_by_accident(
    events: Events,
    letter: DeadLetter,
) -> None:
    """Without its row nobody knows how it ended; an edit says that it is meant."""
    again(events, letter.id, event("echo"))
    with transaction(events.engine) as connection:
        connection.execute(sa.text("DELETE FROM job_executions"))
    with pytest.raises(Conflict, match="pruned"):
        again(events, letter.id)


def test_an_unknown_letter_is_not_found(events: Events) -> None:
    """By id, for redrive and for discard."""
    with pytest.raises(NotFound):
        again(events, uuid.uuid4())
    with pytest.raises(NotFound):
        discard(events.engine, uuid.uuid4(), who="tester")


def test_the_id_follows_from_the_coordinates() -> None:
    """Stable across processes and versions: redrive keys are made of it."""
    at = Coordinates("t", 1, 2, 3)
    assert dead_letter_id("g", at) == dead_letter_id("g", at)
    assert dead_letter_id("g", at) != dead_letter_id("g", Coordinates("t", 2, 2, 3))
    expected = uuid.uuid5(uuid.UUID("3f0c9d1e-6a55-5d0b-9a4c-6a6f62755f31"), "g:t:1:2:3")
    assert dead_letter_id("g", at) == expected


def test_letters_are_found_by_the_beginning_of_their_id(
    events: Events,
    letter: DeadLetter,
) -> None:
    """Enough characters to be one; never a pattern."""
    with transaction(events.engine) as connection:
        assert find_dead_letter(connection, str(letter.id)[:8]) == letter.id
        assert find_dead_letter(connection, str(letter.id).upper()) == letter.id
        with pytest.raises(NotFound):
            find_dead_letter(connection, "0" * 36)
        for pattern in ("%", "", "g"):
            with pytest.raises(InvalidInput, match="not the beginning"):
                find_dead_letter(connection, pattern)


def test_a_beginning_that_several_share_is_refused(events: Events) -> None:
    """Seventeen ids begin with sixteen digits, so two of them share one."""
    events.send(*(b"bad" for _ in range(17)))
    events.tick()
    firsts = [str(letter.id)[0] for letter in events.letters()]
    shared = next(first for first in firsts if firsts.count(first) > 1)
    with transaction(events.engine) as connection, pytest.raises(InvalidInput, match="several"):
        find_dead_letter(connection, shared)


def test_letters_are_listed_by_status_code_and_topic(events: Events, letter: DeadLetter) -> None:
    """Filters combine; the limit holds."""
    events.send(b"bad", b"")
    events.tick()
    discard(events.engine, letter.id, who="tester")
    with transaction(events.engine) as connection:
        still_open = list_dead_letters(connection, status=DeadLetterStatus.OPEN)
        assert {each.code for each in still_open} == {"not_json", "empty"}
        (empty,) = list_dead_letters(connection, code="empty", topic=TOPIC)
        assert empty.group_id == GROUP
        assert list_dead_letters(connection, topic="other") == []
        assert len(list_dead_letters(connection, limit=2)) == 2


def _audit(events: Events) -> list[tuple[str, str, str | None]]:
    with transaction(events.engine) as connection:
        found = connection.execute(sa.text("SELECT what, who, why FROM audit_log ORDER BY id"))
        return [(row.what, row.who, row.why) for row in found]
