"""A redrive or discard that dies between two writes: repeating the command does it once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from confluent_kafka import Producer

from jobu_core.dispatcher.queue import dead_letters
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.dispatcher.queue.redrive_many import Redriver
from jobu_core.models import DeadLetterStatus, Status, Trigger
from jobu_core.store.dead_letters import list_dead_letters
from jobu_core.store.engine import transaction
from jobu_core.store.executions import list_executions
from tests.crash.children import die
from tests.crash.dispatching import TOPIC, DispatchCase, Dispatcher, Site, Topic
from tests.fix_events import event

if TYPE_CHECKING:
    from jobu_core.models import DeadLetter

REDRIVE = (
    DispatchCase("redrive.execution_inserted", rules=(14,)),
    DispatchCase("redrive.letter_settled", rules=(14,)),
    DispatchCase("redrive.audited", rules=(14,)),
    DispatchCase(
        "redrive.committed",
        rules=(6, 14),
        leaves=("job_executions", "dead_letters", "audit_log"),
    ),
)
DISCARD = (
    DispatchCase("discard.letter_settled", rules=(1,)),
    DispatchCase("discard.audited", rules=(1,)),
)


PUT_BACK = (
    DispatchCase("redrive.letter_put_back", rules=(1, 14)),
    DispatchCase("redrive.put_back_committed", rules=(1, 14), leaves=("dead_letters",)),
    DispatchCase(
        "redrive.committed",
        rules=(6, 14),
        leaves=("job_executions", "dead_letters", "audit_log"),
    ),
)
COPIES = "dead-letters"


@pytest.fixture
def refused(site: Site) -> Site:
    """Return a site whose one message became a dead letter."""
    read = replace(site, topic=Topic({0: (b"{",)}))
    read.do(Dispatcher.ingest)
    return read


def letter_of(process: Dispatcher) -> DeadLetter:
    """Return the one dead letter."""
    with transaction(process.engine) as connection:
        (letter,) = list_dead_letters(connection)
    return letter


def redrive(process: Dispatcher) -> int:
    """Do what ``jobu dead-letters redrive`` does with a corrected payload."""
    return dead_letters.redrive(
        process.engine,
        process.registry,
        process.settings,
        letter_of(process).id,
        edited_payload=event(params={"n": 1}),
        who="tester",
    )


def discard(process: Dispatcher) -> None:
    """Do what ``jobu dead-letters discard`` does."""
    dead_letters.discard(process.engine, letter_of(process).id, who="tester")


@pytest.mark.parametrize("case", REDRIVE, ids=lambda case: case.point)
def test_a_redrive_that_died_is_repeated_once(refused: Site, case: DispatchCase) -> None:
    """The person who saw no answer asks again and gets one execution, not two."""
    with refused.after_death(case, redrive) as restarted:
        made = redrive(restarted)
        assert redrive(restarted) == made
        restarted.run_to_rest()
        restarted.audit(bad=[(TOPIC, 0, 0)])
        with transaction(restarted.engine) as connection:
            (row,) = list_executions(connection)
        assert (row.id, row.trigger, row.status) == (made, Trigger.REDRIVE, Status.SUCCESS)
        assert row.root_id == made


def redrive_copies(process: Dispatcher) -> None:
    """Do what ``jobu dead-letters redrive`` does with the letters of a topic."""
    assert process.site.bootstrap is not None
    redriver = Redriver(process.engine, process.registry, process.settings, "tester")
    with KafkaAdapter(process.site.bootstrap, COPIES, "reader") as adapter:
        assert list(redriver.redrive_copies(adapter))


@pytest.mark.parametrize("case", PUT_BACK, ids=lambda case: case.point)
def test_a_letter_that_only_the_topic_has_is_redriven_once(
    site: Site, mock_kafka: str, case: DispatchCase
) -> None:
    """Put back into the table first, so that whoever repeats it after a death finds it there."""
    producer = Producer({"bootstrap.servers": mock_kafka})
    producer.produce(TOPIC, event("late", params={"n": 1}), partition=0)
    assert producer.flush(10) == 0
    mirrored = replace(site, bootstrap=mock_kafka, queue={"dead_letter_topic": COPIES})
    mirrored.do(Dispatcher.ingest)
    with psycopg.connect(site.url) as connection:
        connection.execute("DELETE FROM dead_letters")
    known = replace(mirrored, handlers=("echo", "late"))
    with known.process() as watcher:
        before = watcher.contents()
        die(case, known.do, redrive_copies)
        after = watcher.contents()
    assert {name for name in after if after[name] != before[name]} == set(case.leaves)
    with known.process() as restarted:
        redrive_copies(restarted)
        redrive_copies(restarted)
        restarted.run_to_rest()
        restarted.audit(bad=[(TOPIC, 0, 0)])
        with transaction(restarted.engine) as connection:
            (row,) = list_executions(connection)
        assert (row.trigger, row.status) == (Trigger.REDRIVE, Status.SUCCESS)


@pytest.mark.parametrize("case", DISCARD, ids=lambda case: case.point)
def test_a_discard_that_died_is_repeated_once(refused: Site, case: DispatchCase) -> None:
    """Status and audit are one transaction; a discarded letter stays in the ledger."""
    with refused.after_death(case, discard) as restarted:
        assert letter_of(restarted).status is DeadLetterStatus.OPEN
        discard(restarted)
        discard(restarted)
        assert letter_of(restarted).status is DeadLetterStatus.DISCARDED
        restarted.run_to_rest()
        restarted.audit(bad=[(TOPIC, 0, 0)])
