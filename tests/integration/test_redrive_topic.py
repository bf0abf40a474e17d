"""Redriving many: open letters of the table, or the copies in the dead letter topic."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.dispatcher.queue import redrive_many
from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.adapter.memory import MemoryAdapter
from jobu_core.dispatcher.queue.dead_letters import discard
from jobu_core.dispatcher.queue.redrive_many import Redriver
from jobu_core.models import DeadLetterStatus, Trigger
from jobu_core.store.engine import transaction
from tests.crash.audit import violations
from tests.fix_events import GROUP, Events, event

if TYPE_CHECKING:
    from jobu_core.dispatcher.queue.redrive_many import Outcome

COPIES = "dead"


@pytest.fixture
def refused(events: Events) -> Events:
    """Make three dead letters, two of which may work once the handler is there; all copied."""
    mirrored = events.configured(dead_letter_topic=COPIES)
    mirrored.send(event("late", params={"n": 1}), b"bad", event("late", params={"n": 2}), event())
    mirrored.tick()
    assert mirrored.codes() == ["handler_unknown", "not_json", "handler_unknown"]
    return mirrored


def redriver(events: Events) -> Redriver:
    """Return a redriver of this store."""
    return Redriver(events.engine, events.catalog, events.settings, "tester")


def from_topic(events: Events, code: str | None = None) -> list[Outcome]:
    """Redrive the copies."""
    with MemoryAdapter(events.broker, COPIES, GROUP) as adapter:
        return list(redriver(events).redrive_copies(adapter, code=code))


def from_table(events: Events, code: str | None = None) -> list[Outcome]:
    """Redrive the open letters."""
    return list(redriver(events).redrive_open(code=code, limit=100))


def outcomes(found: list[Outcome]) -> list[str]:
    """Return what became of each."""
    return [each.outcome for each in found]


def redriven(events: Events) -> list[object]:
    """Return the params of the executions that redrives made."""
    return [dict(row.params) for row in events.executions() if row.trigger is Trigger.REDRIVE]


def forget_letters(events: Events) -> None:
    """Lose the dead letters, as after a restored backup."""
    with transaction(events.engine) as connection:
        connection.execute(sa.text("DELETE FROM dead_letters"))


def consistent(events: Events) -> bool:
    """Return whether the ledger still adds up."""
    with transaction(events.engine) as connection:
        return violations(connection) == []


def test_open_letters_of_a_code_are_redriven_in_their_order(refused: Events) -> None:
    """Others stay; a second run finds nothing left."""
    refused.catalog.names += ("late",)
    assert outcomes(from_table(refused, "handler_unknown")) == ["redriven", "redriven"]
    assert redriven(refused) == [{"n": 1}, {"n": 2}]
    assert from_table(refused, "handler_unknown") == []
    assert [letter.status for letter in refused.letters()] == [
        DeadLetterStatus.REDRIVEN,
        DeadLetterStatus.OPEN,
        DeadLetterStatus.REDRIVEN,
    ]


def test_what_is_still_refused_stays_open_and_stops_nobody(refused: Events) -> None:
    """Each letter has a line with its reason."""
    refused.catalog.names += ("late",)
    found = from_table(refused)
    assert outcomes(found) == ["redriven", "refused", "redriven"]
    assert "not_json" in found[1].detail


@pytest.mark.parametrize("code", [None, "handler_unknown"])
def test_copies_are_redriven_once(refused: Events, code: str | None) -> None:
    """From the topic, again from the topic, and from the table: one execution each."""
    refused.catalog.names += ("late",)
    first = from_topic(refused, code)
    assert [each.outcome for each in first if each.outcome != "refused"] == ["redriven"] * 2
    again = from_topic(refused, code)
    assert [each.execution_id for each in again] == [each.execution_id for each in first]
    from_table(refused)
    assert sorted(map(str, redriven(refused))) == ["{'n': 1}", "{'n': 2}"]
    assert consistent(refused)


def test_a_copy_that_was_sent_twice_is_one_execution(refused: Events) -> None:
    """The mirror may repeat a copy after a crash."""
    (first, *_) = refused.broker.topics[COPIES].logs[0]
    twice = OutgoingMessage(first.value, first.key, first.headers, first.timestamp)
    refused.adapter().publish(COPIES, [twice])
    refused.catalog.names += ("late",)
    found = from_topic(refused, "handler_unknown")
    assert outcomes(found) == ["redriven"] * 3
    assert found[0].execution_id == found[2].execution_id
    assert len(redriven(refused)) == 2


def test_a_letter_that_the_table_has_lost_is_put_back(refused: Events) -> None:
    """Whole, with its own id; so the ledger knows of the message again."""
    before = refused.letters()
    forget_letters(refused)
    assert not consistent(refused)
    refused.catalog.names += ("late",)
    assert outcomes(from_topic(refused)) == ["redriven", "refused", "redriven"]
    after = refused.letters()
    assert [(each.id, each.value, each.headers, each.code, each.message) for each in after] == [
        (each.id, each.value, each.headers, each.code, each.message) for each in before
    ]
    assert consistent(refused)
    with transaction(refused.engine) as connection:  # a copy is there still: prune keeps the letter
        copied = connection.scalars(sa.text("SELECT mirror_topic FROM dead_letters")).all()
    assert len(copied) == len(before)
    assert None not in copied


def test_a_message_that_ingest_will_decide_is_left_to_it(refused: Events) -> None:
    """A restored store stands before the message: it would become two executions."""
    forget_letters(refused)
    with transaction(refused.engine) as connection:
        connection.execute(sa.text("DELETE FROM job_executions"))
        connection.execute(sa.text("UPDATE kafka_positions SET next_offset = 0"))
    refused.catalog.names += ("late",)
    assert outcomes(from_topic(refused)) == ["undecided"] * 3
    refused.tick()
    decided = from_topic(refused)  # the bad one has been copied once more
    assert outcomes(decided) == ["settled", "refused", "settled", "refused"]
    assert redriven(refused) == []
    assert len(refused.executions()) == 3
    assert consistent(refused)


def test_a_discarded_letter_stays_discarded(refused: Events) -> None:
    """Its copy is still in the topic; a person has decided."""
    refused.catalog.names += ("late",)
    discard(refused.engine, refused.letters()[0].id, who="tester")
    assert outcomes(from_topic(refused, "handler_unknown")) == ["settled", "redriven"]


def test_messages_of_others_are_left_alone(refused: Events) -> None:
    """Another group's copies, and what is no copy at all."""
    refused.adapter().publish(COPIES, [OutgoingMessage(event("late"))])
    refused.catalog.names += ("late",)
    assert outcomes(from_topic(refused))[-1] == "foreign"
    other = refused.configured(kafka_group_id="another")
    assert set(outcomes(from_topic(other))) == {"foreign"}
    assert redriven(other) == redriven(refused) == [{"n": 1}, {"n": 2}]


def test_a_redrive_that_takes_long_does_not_leave_out_the_rest(
    refused: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a topic that is silent has been read; a slow store or check is not silence."""

    def check_slowly(_: object) -> None:
        Event().wait(0.05)

    monkeypatch.setattr(redrive_many, "_AT_ONCE", 1)
    monkeypatch.setattr(redrive_many, "_QUIET_SECONDS", 0.01)
    refused.catalog.names += ("late",)
    refused.catalog.refuse = check_slowly
    assert outcomes(from_topic(refused)) == ["redriven", "refused", "redriven"]


def test_an_empty_or_missing_topic_has_nothing_to_redrive(events: Events) -> None:
    """Neither waits nor fails."""
    assert from_topic(events) == []
    events.broker.create_topic(COPIES, 2)
    assert from_topic(events) == []
