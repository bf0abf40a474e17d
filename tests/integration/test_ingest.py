"""Messages become executions or dead letters, each exactly once, in one transaction."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.adapter.memory import MemoryAdapter
from jobu_core.errors import QueueUnavailable, StoreUnavailable
from jobu_core.models import DeadLetterStatus, ParamSource, Stage, Status, Trigger
from jobu_core.store.engine import transaction
from tests.fix_events import GROUP, TOPIC, Events, event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobu_core.models import QueueMessage


class KilledError(BaseException):
    """Stands for the end of the process at that point."""


class DiesBeforeCommit(MemoryAdapter):
    """An adapter whose process ends between the transaction and the broker commit."""

    def commit(self, positions: Mapping[int, int]) -> None:
        """End the process."""
        raise KilledError(positions)


class FailsAfterOneFetch(MemoryAdapter):
    """An adapter that loses the broker after it has handed out messages."""

    def fetch(self, max_records: int, timeout_seconds: float) -> list[QueueMessage]:
        """Fail at the second call, and only then."""
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 2:
            raise QueueUnavailable("the broker went away")
        return super().fetch(max_records, timeout_seconds)


def test_an_event_becomes_a_pending_execution(events: Events) -> None:
    """The row says where it came from and carries the limits of worker.yaml."""
    sent_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    message = OutgoingMessage(event(params={"a": 1}), key=b"\xffk", timestamp=sent_at, partition=1)
    events.adapter().publish(TOPIC, [message])
    tick = events.tick()
    (row,) = events.executions()
    assert tick.created == (row.id,)
    assert (row.handler_name, row.params, row.status) == ("echo", {"a": 1}, Status.PENDING)
    assert (row.param_source, row.trigger) == (ParamSource.EVENT, Trigger.EVENT)
    assert (row.kafka_topic, row.kafka_generation) == (TOPIC, 1)
    assert (row.kafka_partition, row.kafka_offset) == (1, 0)
    assert (row.message_key, row.message_time) == (b"\xffk", sent_at)
    assert row.dedupe_key == f"event:{GROUP}:{TOPIC}:1:1:0"
    assert (row.max_attempts, row.timeout_seconds, row.retry_backoff_seconds) == (4, 3600, 10)
    assert (row.job_id, row.serial_key) == (None, None)


def test_garbage_becomes_dead_letters_and_the_rest_goes_on(events: Events) -> None:
    """A hundred bad lines between good ones: all are accounted for, no tick fails."""
    bad = [b"", b"garbage", b"[1]", b'{"x": 1}', b"\xff", None, b"NaN", b'{"handler_name": "no"}']
    lines: list[bytes | None] = [bad[number % len(bad)] for number in range(100)]
    events.send(event(params={"n": 1}), *lines, event(params={"n": 2}))
    tick = events.tick()
    assert (tick.consumed, len(tick.created), tick.dead) == (102, 2, 100)
    assert events.params() == [{"n": 1}, {"n": 2}]
    assert set(events.codes()) == {
        *("empty", "not_json", "not_an_object", "unknown_key", "not_utf8"),
        *("tombstone", "number_not_finite", "handler_unknown"),
    }
    assert events.ledger() == 102
    assert "not_json" in tick.messages[-1]


def test_a_dead_letter_keeps_the_message_whole(events: Events) -> None:
    """Bytes, headers and time are those that were sent."""
    sent_at = datetime(2026, 1, 2, tzinfo=UTC)
    headers = (("trace", b"\xff\x00"), ("none", None), ("nul\0name", b""))
    message = OutgoingMessage(b"\x00\xff", b"\xfe", headers, sent_at, partition=1)
    events.adapter().publish(TOPIC, [message])
    events.tick()
    (letter,) = events.letters()
    assert (letter.key, letter.value, letter.message_time) == (b"\xfe", b"\x00\xff", sent_at)
    assert letter.headers == (("trace", b"\xff\x00"), ("none", None), ("nul\\0name", b""))
    assert (letter.stage, letter.code) == (Stage.DECODE, "not_utf8")
    assert (letter.group_id, letter.coordinates.topic) == (GROUP, TOPIC)
    assert (letter.coordinates.partition, letter.coordinates.offset) == (1, 0)
    assert (letter.status, letter.execution_id) == (DeadLetterStatus.OPEN, None)


def test_a_repeated_tick_finds_nothing_new(events: Events) -> None:
    """Two ticks, or two processes one after the other, write one row per message."""
    events.send(event(params={"n": 1}), b"bad")
    with events.ingest() as ingest:
        assert ingest.tick(0.2).consumed == 2
        assert ingest.tick(0.1).consumed == 0
    assert events.tick().consumed == 0
    assert (len(events.executions()), len(events.letters())) == (1, 1)


def test_one_open_ingest_reads_what_comes_later(events: Events) -> None:
    """The warm consumer goes on where it was, tick after tick."""
    with events.ingest() as ingest:
        for number in range(5):
            events.send(event(params={"n": number}))
            assert ingest.tick(1.0).consumed == 1
    assert events.params() == [{"n": number} for number in range(5)]


def test_death_between_transaction_and_broker_commit_repeats_nothing(events: Events) -> None:
    """The table's position counts, not the broker's."""
    events.send(event(params={"n": 1}), b"bad")
    dying = DiesBeforeCommit(events.broker, TOPIC, GROUP)
    with pytest.raises(KilledError):
        events.tick(dying)
    assert dying.committed() == {}
    events.send(event(params={"n": 2}))
    assert events.tick().consumed == 1
    assert events.params() == [{"n": 1}, {"n": 2}]
    assert events.adapter().committed() == {0: 3}


def test_death_before_the_transaction_ends_loses_nothing(
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything of a batch is rolled back together; the next process does it again."""

    def die(*_: Any) -> None:  # noqa: ANN401 - stands for any call
        raise KilledError

    events.send(event(params={"n": 1}), b"bad")
    with monkeypatch.context() as patch:
        patch.setattr("jobu_core.dispatcher.queue.batch.advance_positions", die)
        with pytest.raises(KilledError):
            events.tick()
    assert (events.executions(), events.letters()) == ([], [])
    assert events.positions() == {(1, 0): 0, (1, 1): 0}
    assert events.tick().consumed == 2


def test_messages_of_a_broken_fetch_are_read_again(events: Events) -> None:
    """What was fetched before the broker went away is neither lost nor doubled."""
    small = events.configured(kafka_max_poll_records=1)
    small.send(*(event(params={"n": number}) for number in range(3)))
    adapter = FailsAfterOneFetch(small.broker, TOPIC, GROUP)
    with small.ingest(adapter) as ingest:
        with pytest.raises(QueueUnavailable):
            ingest.tick(0.2)
        assert small.executions() == []
        assert ingest.tick(0.2).consumed == 3
    assert small.params() == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_broker_outage_is_survived_by_the_same_ingest(events: Events) -> None:
    """Down: an outage is raised and nothing is dead-lettered. Up: reading goes on."""
    events.send(event(params={"n": 1}))
    with events.ingest() as ingest:
        assert ingest.tick(0.2).consumed == 1
        events.send(event(params={"n": 2}))
        events.broker.set_down(down=True)
        for _ in range(2):
            with pytest.raises(QueueUnavailable):
                ingest.tick(0.1)
        events.broker.set_down(down=False)
        assert ingest.tick(0.2).consumed == 1
    assert events.params() == [{"n": 1}, {"n": 2}]
    assert events.letters() == []


def test_a_failed_broker_commit_changes_nothing(
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is for monitoring only; the next tick commits what is true then."""

    def refuse(*_: object) -> None:
        raise QueueUnavailable("no coordinator")

    with events.ingest() as ingest:
        with monkeypatch.context() as patch:
            patch.setattr(MemoryAdapter, "commit", refuse)
            events.send(event())
            assert ingest.tick(0.2).consumed == 1
        events.send(event())
        assert ingest.tick(0.2).consumed == 1
    assert events.adapter().committed() == {0: 2}


def test_a_store_outage_moves_nothing_and_blames_nobody(events: Events) -> None:
    """The connection is cut inside the transaction: an outage, no dead letter, later all."""

    def cut(_: Mapping[str, Any]) -> None:
        with transaction(events.engine) as connection:
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    " AND application_name = 'jobu-test'",
                ),
            )

    events.send(event(params={"n": 1}), b"bad")
    with events.ingest() as ingest:
        events.catalog.refuse = cut
        with pytest.raises(StoreUnavailable):
            ingest.tick(0.2)
        events.catalog.refuse = lambda _: None
        assert (events.executions(), events.letters()) == ([], [])
        assert ingest.tick(0.2).consumed == 2
    assert events.codes() == ["not_json"]


def test_a_backlog_is_written_in_batches_of_the_setting(events: Events) -> None:
    """Fetches are gathered into transactions, and one tick goes on until all is read."""
    small = events.configured(kafka_max_poll_records=10, ingest_batch=25)
    small.send(*(event(params={"n": number}) for number in range(60)))
    assert small.tick().consumed == 60
    with transaction(small.engine) as connection:
        transactions = connection.scalar(
            sa.text("SELECT count(DISTINCT xmin::text) FROM job_executions"),
        )
    assert transactions == 3
    assert small.params() == [{"n": number} for number in range(60)]


def test_a_batch_ends_by_bytes_too(
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Large messages do not add up to a transaction without limit."""
    monkeypatch.setattr("jobu_core.dispatcher.queue.ingest.BATCH_BYTES", 1000)
    small = events.configured(kafka_max_poll_records=1)
    small.send(*(event(params={"text": "x" * 600}) for _ in range(4)))
    assert small.tick().consumed == 4
    with transaction(small.engine) as connection:
        transactions = connection.scalar(
            sa.text("SELECT count(DISTINCT xmin::text) FROM job_executions"),
        )
    assert transactions == 2


def test_a_row_that_exists_already_counts_as_duplicate(events: Events) -> None:
    """Should a position ever be set back, the dedupe key still decides."""
    events.send(event(), b"bad")
    events.tick()
    with transaction(events.engine) as connection:
        connection.execute(sa.text("UPDATE kafka_positions SET next_offset = 0"))
    tick = events.tick()
    assert (tick.consumed, tick.duplicates, tick.created) == (2, 1, ())
    assert events.ledger() == 2
