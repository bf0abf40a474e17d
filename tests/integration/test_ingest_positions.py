"""Where reading starts and who may write: positions, generations, gaps, fence, lock."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.dispatcher.queue.adapter.memory import MemoryAdapter
from jobu_core.dispatcher.queue.resume import resume
from jobu_core.errors import ConfigError, PositionMoved, TopicChanged
from jobu_core.store.engine import transaction
from jobu_core.store.positions import advance_positions, lock_positions, read_positions
from tests.fix_events import GROUP, TOPIC, Events, event

if TYPE_CHECKING:
    from jobu_core.dispatcher.queue.ingest import Ingest
    from jobu_core.models import QueueMessage


class WatchesPositions(MemoryAdapter):
    """An adapter that notes what the table held when the first fetch began."""

    def __init__(self, events: Events) -> None:
        """Look into the store of ``events``."""
        super().__init__(events.broker, events.topic, GROUP)
        self._events = events
        self.seen: dict[tuple[int, int], int] | None = None

    def fetch(self, max_records: int, timeout_seconds: float) -> list[QueueMessage]:
        """Note the positions, then fetch."""
        if self.seen is None:
            self.seen = self._events.positions()
        return super().fetch(max_records, timeout_seconds)


def recreate(events: Events) -> None:
    """Delete the topic and make it anew, as it was on the first day."""
    events.broker.delete_topic(events.topic)
    events.broker.create_topic(events.topic, 2)


def test_positions_are_stored_before_the_first_fetch(events: Events) -> None:
    """A death right after the first sight cannot lose what came meanwhile."""
    events.send(event())
    adapter = WatchesPositions(events)
    events.tick(adapter)
    assert adapter.seen == {(1, 0): 0, (1, 1): 0}
    assert events.positions() == {(1, 0): 1, (1, 1): 0}


def test_latest_skips_what_was_there_before_the_first_start_only(events: Events) -> None:
    """The resolved offset is stored: a message between first sight and fetch is read."""
    late = events.configured(kafka_auto_offset_reset="latest")
    late.send(event(params={"n": "old"}))
    assert late.tick().consumed == 0
    late.send(event(params={"n": "new"}))
    assert late.tick().consumed == 1
    assert late.params() == [{"n": "new"}]


def test_none_refuses_to_guess(events: Events) -> None:
    """Without a position and a policy a person must decide; later starts need none."""
    with pytest.raises(ConfigError, match="kafka_auto_offset_reset"):
        events.configured(kafka_auto_offset_reset="none").tick()
    assert events.positions() == {}
    events.tick()
    events.send(event())
    assert events.configured(kafka_auto_offset_reset="none").tick().consumed == 1


def test_a_new_partition_starts_at_its_beginning_whatever_the_policy(events: Events) -> None:
    """``latest`` is for the first start of a topic, not for a partition added later."""
    late = events.configured(kafka_auto_offset_reset="latest")
    late.tick()
    late.broker.create_topic(TOPIC, 3)
    late.send(event(params={"n": 1}), partition=2)
    assert late.tick().consumed == 1
    assert late.positions()[1, 2] == 1


def test_an_open_ingest_sees_a_new_partition(
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The topic is looked at again while reading goes on."""
    monkeypatch.setattr("jobu_core.dispatcher.queue.ingest.RECHECK_SECONDS", 0.0)
    with events.ingest() as ingest:
        ingest.tick(0.1)
        events.broker.create_topic(TOPIC, 3)
        events.send(event(), partition=2)
        tick = ingest.tick(0.2)
        assert tick.consumed == 1
        assert "1 new partitions" in tick.messages[0]


def test_lost_offsets_leave_a_row_and_reading_goes_on(events: Events) -> None:
    """Retention passed the position: a gap row, a loud message, and the rest is read."""
    events.tick()
    events.send(*(event(params={"n": number}) for number in range(5)))
    events.broker.truncate(TOPIC, 0, 3)
    tick = events.tick()
    assert events.gaps() == [(0, 0, 3)]
    assert events.params() == [{"n": 3}, {"n": 4}]
    assert "LOST" in tick.messages[0]
    assert events.ledger() == 5
    assert events.tick().messages == ()
    assert events.gaps() == [(0, 0, 3)]


@pytest.mark.parametrize("committed", [0, 1, 3])
def test_what_the_queue_has_committed_is_not_asked(events: Events, committed: int) -> None:
    """Neither an older offset repeats, nor a newer one skips: the table decides."""
    events.send(event(params={"n": 1}), event(params={"n": 2}))
    events.tick()
    events.adapter().commit({0: committed})
    events.send(event(params={"n": 3}), event(params={"n": 4}))
    assert events.tick().consumed == 2
    assert [each["n"] for each in events.params()] == [1, 2, 3, 4]


def test_the_end_of_retention_at_the_position_is_no_gap(events: Events) -> None:
    """Everything read, then dropped: nothing is lost."""
    events.send(event(), event())
    events.tick()
    events.broker.truncate(TOPIC, 0, 2)
    events.tick()
    assert events.gaps() == []


def test_a_missing_topic_is_said_and_read_once_it_exists(events: Events) -> None:
    """No crash; the same ingest goes on, and even ``latest`` reads all of a topic made later."""
    later = events.configured(kafka_topic="later", kafka_auto_offset_reset="latest")
    later.topic = "later"
    with later.ingest() as ingest:
        tick = ingest.tick(0.1)
        assert tick.consumed == 0
        assert "later at memory does not exist yet" in tick.messages[0]
        later.broker.create_topic("later", 1)
        later.send(event())
        assert ingest.tick(0.2).consumed == 1


def test_a_recreated_topic_stops_loudly(events: Events) -> None:
    """Neither skipped nor read as if nothing had happened; the message says what to set."""
    stopping = events.configured(on_recreate="stop")
    stopping.send(event())
    stopping.tick()
    recreate(stopping)
    stopping.send(event(params={"n": "new"}))
    for _ in range(2):
        with pytest.raises(TopicChanged, match="on_recreate: new_generation"):
            stopping.tick()
    assert len(stopping.executions()) == 1
    assert stopping.positions() == {(1, 0): 1, (1, 1): 0}


def test_a_recreated_topic_may_begin_a_new_generation(events: Events) -> None:
    """All partitions start over in one transaction; equal offsets are other messages."""
    again = events.configured(on_recreate="new_generation")
    again.send(event(params={"n": "old"}))
    again.tick()
    recreate(again)
    again.send(event(params={"n": "new"}), b"bad")
    tick = again.tick()
    assert tick.consumed == 2
    assert "generation 2" in tick.messages[0]
    assert again.params() == [{"n": "old"}, {"n": "new"}]
    assert [row.kafka_generation for row in again.executions()] == [1, 2]
    assert again.positions() == {(1, 0): 1, (1, 1): 0, (2, 0): 2, (2, 1): 0}
    assert again.tick().consumed == 0


def test_a_topic_recreated_under_an_open_ingest_is_not_read_as_the_old_one(
    events: Events,
) -> None:
    """Messages of the new topic are fetched, but none is written under the old generation."""
    again = events.configured(on_recreate="new_generation")
    with again.ingest() as ingest:
        ingest.tick(0.1)
        recreate(again)
        again.send(event(params={"n": "new"}))
        first, second = ingest.tick(0.2), ingest.tick(0.2)
        assert (first.consumed, second.consumed) == (0, 1)
    (row,) = again.executions()
    assert row.kafka_generation == 2


def test_a_topic_that_ends_before_the_position_was_recreated(events: Events) -> None:
    """Where the queue cannot tell the topic's identity, its offsets do."""
    stopping = events.configured(on_recreate="stop")
    stopping.send(event(), event())
    stopping.tick()
    recreate(stopping)
    with transaction(stopping.engine) as connection:
        connection.execute(sa.text("UPDATE kafka_positions SET topic_id = NULL"))
    with pytest.raises(TopicChanged, match="ends at 0, before 2"):
        stopping.tick()


def test_fewer_partitions_than_before_mean_another_topic(events: Events) -> None:
    """A topic never shrinks."""
    stopping = events.configured(on_recreate="stop")
    stopping.tick()
    stopping.broker.delete_topic(TOPIC)
    stopping.broker.create_topic(TOPIC, 1)
    with transaction(stopping.engine) as connection:
        connection.execute(sa.text("UPDATE kafka_positions SET topic_id = NULL"))
    with pytest.raises(TopicChanged, match="partition 1 is gone"):
        stopping.tick()


def test_an_identity_learned_later_is_stored(events: Events) -> None:
    """A topic id that was not known at first is kept, and compared from then on."""
    events.tick()
    with transaction(events.engine) as connection:
        connection.execute(sa.text("UPDATE kafka_positions SET topic_id = NULL"))
    events.tick()
    recreate(events)
    with pytest.raises(TopicChanged, match="identity"):
        events.configured(on_recreate="stop").tick()


def _lose_lock(ingest: Ingest) -> None:
    """Make ``ingest`` believe that it holds the lock which it has lost."""
    ingest._lock.hold = lambda wait_seconds=0.0: True  # type: ignore[method-assign]  # noqa: ARG005 - its signature


def test_two_ingests_without_the_lock_write_each_message_once(events: Events) -> None:
    """The position fence: the slower one rolls back everything and reads the table again."""
    with events.ingest() as slow, events.ingest() as fast:
        _lose_lock(slow)
        _lose_lock(fast)
        slow.tick(0.1)
        events.send(event(params={"n": 1}), b"bad")
        assert fast.tick(0.2).consumed == 2
        beaten = slow.tick(0.2)
        assert (beaten.consumed, beaten.created, beaten.dead) == (0, (), 0)
        assert "another ingest has moved" in beaten.messages[0]
        events.send(event(params={"n": 2}))
        assert slow.tick(0.2).consumed == 1
    assert events.params() == [{"n": 1}, {"n": 2}]
    assert events.codes() == ["not_json"]


def test_many_ingests_at_once_write_each_message_once(events: Events) -> None:
    """Threads without the lock race over two hundred messages."""
    small = events.configured(ingest_batch=7, kafka_max_poll_records=3)
    small.tick()
    for partition in (0, 1):
        small.send(*(event(params={"n": n}) for n in range(100)), partition=partition)

    def work() -> None:
        with small.ingest() as ingest:
            _lose_lock(ingest)
            while small.positions() != {(1, 0): 100, (1, 1): 100}:
                ingest.tick(0.1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(small.executions()) == 200
    assert small.ledger() == 200


def test_an_ingest_that_was_overtaken_by_a_generation_writes_nothing(events: Events) -> None:
    """The fence holds across generations as well."""
    events.tick()
    with transaction(events.engine) as connection:
        connection.execute(
            sa.text(
                "INSERT INTO kafka_positions"
                " (group_id, topic, generation, partition, start_offset, next_offset)"
                " VALUES (:group, :topic, 2, 0, 0, 0)",
            ),
            {"group": GROUP, "topic": TOPIC},
        )
        with pytest.raises(PositionMoved, match="generation 1"):
            lock_positions(connection, GROUP, TOPIC, 1, [0])
        assert lock_positions(connection, GROUP, TOPIC, 2, [0]) == {0: 0}


def test_a_position_is_only_advanced_from_where_it_was_expected(events: Events) -> None:
    """The last line of the fence is in the UPDATE itself."""
    events.tick()
    with transaction(events.engine) as connection:
        with pytest.raises(PositionMoved, match="no longer 5"):
            advance_positions(connection, GROUP, TOPIC, 1, {0: (5, 6)})
        advance_positions(connection, GROUP, TOPIC, 1, {0: (0, 4)})
        assert read_positions(connection, GROUP, TOPIC)[0].next_offset == 4


def test_positions_that_move_while_they_are_compared_decide_nothing(events: Events) -> None:
    """A comparison with stale watermarks must not call the topic another one."""

    class Overtaken(MemoryAdapter):
        def partitions(self) -> tuple[int, ...]:
            with transaction(events.engine) as connection:
                connection.execute(sa.text("UPDATE kafka_positions SET next_offset = 9"))
            return super().partitions()

    events.tick()
    with pytest.raises(PositionMoved):
        resume(events.engine, Overtaken(events.broker, TOPIC, GROUP), events.settings)
    assert events.positions() == {(1, 0): 9, (1, 1): 9}


def test_a_second_ingest_stands_by_until_the_first_is_gone(events: Events) -> None:
    """One reader at a time; closing or releasing hands over, with nothing read twice."""
    with events.ingest() as second, events.ingest() as first:
        second._lock.release()
        assert first.tick(0.1).messages[0].startswith("topic")
        events.send(event(params={"n": 1}))
        assert "standing by" in second.tick(0.1).messages[0]
        assert first.tick(0.2).consumed == 1
        first.release()
        events.send(event(params={"n": 2}))
        assert second.tick(0.2).consumed == 1
        assert "standing by" in first.tick(0.1).messages[0]
        second.release()
        events.send(event(params={"n": 3}))
        assert first.tick(0.2).consumed == 1
    assert events.params() == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_a_tick_beside_a_running_one_of_the_same_process_does_nothing(events: Events) -> None:
    """The UI's test tick may come while the real one waits."""
    with events.ingest() as ingest:
        running = threading.Thread(target=ingest.tick, args=(1.0,))
        running.start()
        deadline = time.monotonic() + 10
        while not ingest._turn.locked():
            assert time.monotonic() < deadline
        assert "under way" in ingest.tick(0.1).messages[0]
        running.join()
