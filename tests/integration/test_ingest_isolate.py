"""A row that the database refuses is found by halving; an outage blames no row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jobu_core.dispatcher.queue.isolate import insert_isolated
from jobu_core.errors import StoreUnavailable
from jobu_core.models import Rejection, Stage
from jobu_core.store.engine import transaction
from tests.fix_events import Events, event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine

_REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.params ? 'sqlstate' THEN
    RAISE EXCEPTION 'no: %', NEW.params USING ERRCODE = NEW.params ->> 'sqlstate';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON job_executions FOR EACH ROW EXECUTE FUNCTION refuse()
"""


@pytest.fixture
def picky(events: Events) -> Events:
    """Let the database raise the SQLSTATE that a message's params name."""
    with transaction(events.engine) as connection:
        connection.execute(sa.text(_REFUSE))
    return events


def refused_by(sqlstate: str) -> bytes:
    """Return an event that the database answers with ``sqlstate``."""
    return event(params={"sqlstate": sqlstate, "secret": "hunter2"})


def test_offenders_become_dead_letters_and_all_others_are_inserted(picky: Events) -> None:
    """Three bad rows among forty, one of them first and one last."""
    rows = [event(params={"n": number}) for number in range(40)]
    rows[0], rows[17], rows[39] = (refused_by(code) for code in ("22P05", "23514", "22003"))
    picky.send(*rows)
    tick = picky.tick()
    assert (tick.consumed, len(tick.created), tick.dead) == (40, 37, 3)
    letters = picky.letters()
    assert [letter.coordinates.offset for letter in letters] == [0, 17, 39]
    assert picky.codes() == ["nul_character", "sqlstate_23514", "number_out_of_range"]
    assert {letter.stage for letter in letters} == {Stage.INSERT}
    assert picky.params() == [{"n": n} for n in range(40) if n not in {0, 17, 39}]
    assert picky.positions()[1, 0] == 40


def test_the_message_of_a_refused_row_repeats_no_values(picky: Events) -> None:
    """The server's own text may hold user data."""
    picky.send(refused_by("22P02"))
    picky.tick()
    (letter,) = picky.letters()
    assert "hunter2" not in letter.message
    assert "22P02" in letter.message


@pytest.mark.parametrize("sqlstate", ["57P01", "40001", "53300", "58030"])
def test_an_outage_dead_letters_nothing_and_moves_nothing(picky: Events, sqlstate: str) -> None:
    """Shutdown, serialization failure, no slots, I/O error: retried, no row is blamed."""
    picky.send(event(params={"n": 1}), refused_by(sqlstate), b"bad")
    with pytest.raises(StoreUnavailable):
        picky.tick()
    assert (picky.executions(), picky.letters()) == ([], [])
    assert picky.positions()[1, 0] == 0


def test_a_bug_of_ours_is_not_blamed_on_the_data(picky: Events) -> None:
    """An undefined column fails the tick loudly and keeps the messages."""
    picky.send(refused_by("42703"))
    with pytest.raises(sa.exc.ProgrammingError):
        picky.tick()
    assert picky.letters() == []
    assert picky.positions()[1, 0] == 0


def test_ids_that_a_restored_backup_gives_again_cost_no_message(events: Events) -> None:
    """The tick fails, moves nothing and blames no message, until the ids are free again."""
    events.send(event(params={"n": 1}), event(params={"n": 2}))
    events.tick()
    with transaction(events.engine) as connection:
        connection.execute(sa.text("SELECT setval('job_executions_id_seq', 1)"))
    events.send(event(params={"n": 3}))
    with pytest.raises(sa.exc.IntegrityError):
        events.tick()
    assert (len(events.executions()), events.letters()) == (2, [])
    events.tick()
    assert (events.params(), events.letters()) == ([{"n": 1}, {"n": 2}, {"n": 3}], [])


def test_a_job_deleted_meanwhile_cannot_break_a_batch(picky: Events) -> None:
    """The foreign key's refusal has a code of its own."""
    picky.send(refused_by("23503"))
    picky.tick()
    assert picky.codes() == ["reference_gone"]


def test_a_value_that_the_driver_cannot_send_is_isolated(engine: Engine) -> None:
    """Half a surrogate pair cannot be written as UTF-8; the rows beside it can."""

    def echo(connection: Connection, rows: Sequence[str]) -> list[str]:
        statement = sa.text("SELECT unnest(CAST(:rows AS text[]))")
        return list(connection.scalars(statement, {"rows": list(rows)}))

    with transaction(engine) as connection:
        found = insert_isolated(connection, ["a", "\ud800", "b"], echo)
    assert [found[0], found[2]] == ["a", "b"]
    assert isinstance(found[1], Rejection)
    assert found[1].code == "not_storable"


def test_isolating_needs_few_statements(engine: Engine) -> None:
    """One offender among a thousand is found in about two per halving, not a thousand."""
    calls = 0

    def insert(connection: Connection, rows: Sequence[int]) -> list[Any]:
        nonlocal calls
        calls += 1
        statement = sa.text("SELECT 1 / (CASE WHEN n = 700 THEN 0 ELSE 1 END)"
                            " FROM unnest(CAST(:rows AS int[])) AS n")  # fmt: skip
        return list(connection.scalars(statement, {"rows": list(rows)}))

    with transaction(engine) as connection:
        found = insert_isolated(connection, range(1000), insert)
    assert [index for index, each in enumerate(found) if isinstance(each, Rejection)] == [700]
    assert calls <= 21


def test_nothing_to_insert_asks_nothing(engine: Engine) -> None:
    """An empty batch is no statement."""
    with engine.connect() as connection:
        assert insert_isolated(connection, [], lambda *_: [1]) == []
