"""A redrive or discard that dies between two writes: repeating the command does it once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobu_core.dispatcher.queue import dead_letters
from jobu_core.models import DeadLetterStatus, Status, Trigger
from jobu_core.store.dead_letters import list_dead_letters
from jobu_core.store.engine import transaction
from jobu_core.store.executions import list_executions
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
