"""Back-pressure: at max_pending ingest pauses and says so; nothing is lost, all comes later."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from jobu_core.clock import ManualClock
from jobu_core.dispatcher.queue.adapter.memory import MemoryAdapter
from jobu_core.dispatcher.queue.ingest import Ingest
from jobu_core.store.backlog import count_pending
from jobu_core.store.engine import transaction
from tests.fix_events import GROUP, TOPIC, Events, event


@pytest.fixture
def narrow(events: Events) -> Events:
    """Allow four pending executions, with ten messages in the topic."""
    limited = events.configured(max_pending=4, kafka_max_poll_records=3)
    limited.send(*(event(params={"n": number}) for number in range(10)))
    return limited


def finish(events: Events, count: int) -> None:
    """Let the oldest ``count`` pending executions end."""
    with transaction(events.engine) as connection:
        connection.execute(
            sa.text(
                "UPDATE job_executions SET status = 'CANCELED' WHERE id IN (SELECT id FROM"
                " job_executions WHERE status = 'PENDING' ORDER BY id LIMIT :count)",
            ),
            {"count": count},
        )


def test_ingest_stops_exactly_at_max_pending(narrow: Events) -> None:
    """Neither a batch nor a fetch goes beyond it, and the tick names the setting."""
    tick = narrow.tick()
    assert tick.consumed == 4
    (paused,) = (text for text in tick.messages if text.startswith("paused"))
    assert paused.startswith("paused: 4 executions are pending")
    assert "queue_dispatcher.max_pending" in paused
    assert narrow.positions()[1, 0] == 4


def test_a_paused_ingest_takes_nothing_and_moves_nothing(narrow: Events) -> None:
    """The messages wait in the topic; the broker is told no other position either."""
    narrow.tick()
    with narrow.ingest() as ingest:
        for _ in range(3):
            tick = ingest.tick(0.1)
            assert (tick.consumed, tick.created) == (0, ())
            assert "paused" in tick.messages[-1]
    assert narrow.positions() == {(1, 0): 4, (1, 1): 0}
    assert narrow.adapter().committed() == {0: 4}


def test_what_waited_comes_once_and_in_order(narrow: Events) -> None:
    """As executions end, the same open ingest goes on where it stood."""
    with narrow.ingest() as ingest:
        while len(narrow.executions()) < 10:
            ingest.tick(0.1)
            finish(narrow, 3)
        assert ingest.tick(0.1).consumed == 0
    assert narrow.params() == [{"n": number} for number in range(10)]
    assert narrow.ledger() == 10


def test_dead_letters_do_not_count_as_pending(events: Events) -> None:
    """Refused messages add no execution: they are read on until the room is used up."""
    limited = events.configured(max_pending=2)
    limited.send(b"bad", event(), b"bad", b"bad", event(), event())
    while "paused" not in limited.tick().messages[-1]:
        pass
    assert (len(limited.executions()), len(limited.letters())) == (2, 3)
    assert limited.positions()[1, 0] == 5


def test_pending_rows_of_cron_count_as_well(events: Events) -> None:
    """The limit is for the table that the launches are claimed from."""
    with transaction(events.engine) as connection:
        connection.execute(
            sa.text(
                "INSERT INTO job_executions (handler_name, param_source, trigger)"
                " SELECT 'echo', 'cron', 'manual' FROM generate_series(1, 3)",
            ),
        )
    limited = events.configured(max_pending=4)
    limited.send(event(), event())
    assert limited.tick().consumed == 1


def test_a_paused_tick_leaves_time_to_launch(narrow: Events) -> None:
    """It does not wait out its budget: its caller launches what is pending."""
    narrow.tick()
    clock = ManualClock()
    adapter = MemoryAdapter(narrow.broker, TOPIC, GROUP, clock)
    with Ingest(narrow.engine, narrow.catalog, narrow.settings, adapter, clock) as ingest:
        began = clock.monotonic()
        assert "paused" in ingest.tick(4.5).messages[-1]
        assert 0 < clock.monotonic() - began <= 1


def test_counting_ends_at_the_limit(narrow: Events) -> None:
    """A backlog of millions is not counted out at each tick."""
    narrow.tick()
    with transaction(narrow.engine) as connection:
        assert [count_pending(connection, most) for most in (2, 4, 100)] == [2, 4, 4]
