"""Rows of job_executions are inserted once per dedupe_key and read back whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.errors import NotFound, Outage
from jobu_core.models import Coordinates, NewExecution, ParamSource, Status, Trigger
from jobu_core.store import audit
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution, insert_executions, list_executions
from jobu_core.store.schema import audit_log, job_executions

if TYPE_CHECKING:
    from sqlalchemy import Engine

EVENT = NewExecution(
    handler_name="sample_handler",
    params={"key": "value", "deep": [1, None, {"ü": "✓"}]},
    param_source=ParamSource.EVENT,
    trigger=Trigger.EVENT,
)


def test_ids_are_aligned_with_the_input(engine: Engine) -> None:
    """Duplicates, inside the call and of earlier calls, are None at their place."""
    first = [replace(EVENT, dedupe_key=key) for key in ("a", "b", "a")]
    with transaction(engine) as conn:
        one, two, again = insert_executions(conn, first)
        assert one is not None
        assert two is not None
        assert again is None
        second = [
            replace(EVENT, dedupe_key="b"),
            EVENT,
            replace(EVENT, dedupe_key="c"),
            EVENT,
        ]
        ids = insert_executions(conn, second)
    assert ids[0] is None
    known = [row for row in [one, two, *ids[1:]] if row is not None]
    assert known == sorted(set(known))
    assert len(known) == 5


def test_every_column_comes_back(engine: Engine) -> None:
    """What dispatch writes is what a reader gets."""
    when = datetime(2026, 3, 1, 12, tzinfo=UTC)
    new = replace(
        EVENT,
        scheduled_time=when,
        interval_start=when,
        interval_end=when,
        serial_key="key:1",
        priority=7,
        max_attempts=2,
        timeout_seconds=9,
        retry_backoff_seconds=1,
        coordinates=Coordinates("topic", 3, 2, 5_000_000_000),
        message_key=b"\x00\xff",
        message_time=when,
    )
    with transaction(engine) as conn:
        [row_id] = insert_executions(conn, [new])
        assert row_id is not None
        row = get_execution(conn, row_id)
    assert row.status is Status.PENDING
    assert row.params == new.params
    assert (row.kafka_topic, row.kafka_generation) == ("topic", 3)
    assert (row.kafka_partition, row.kafka_offset) == (2, 5_000_000_000)
    for name in ("scheduled_time", "serial_key", "priority", "max_attempts", "message_key"):
        assert getattr(row, name) == getattr(new, name)
    assert row.root_id == row.id


def test_nothing_to_insert_touches_nothing(engine: Engine) -> None:
    """An empty batch is an empty answer."""
    with transaction(engine) as conn:
        assert insert_executions(conn, []) == []
        assert list_executions(conn) == []


def test_list_filters_and_pages(engine: Engine) -> None:
    """Each filter narrows, newest first, and before_id continues."""
    cron = replace(EVENT, handler_name="other", param_source=ParamSource.CRON)
    with transaction(engine) as conn:
        one, two, three = insert_executions(conn, [EVENT, cron, EVENT])
        assert [row.id for row in list_executions(conn)] == [three, two, one]
        assert [row.id for row in list_executions(conn, handler="other")] == [two]
        assert [row.id for row in list_executions(conn, source=ParamSource.CRON)] == [two]
        assert list_executions(conn, status=Status.FAILED) == []
        page = list_executions(conn, limit=1, before_id=three)
        assert [row.id for row in page] == [two]


def test_hidden_rows_are_listed_nowhere(engine: Engine) -> None:
    """A row that a person hid is left out of every list, and still readable by id."""
    with transaction(engine) as conn:
        one, two = insert_executions(conn, [EVENT, EVENT])
        assert one is not None
        hide = job_executions.update().values(hidden_at=datetime.now(UTC))
        conn.execute(hide.where(job_executions.c.id == one))
        assert [row.id for row in list_executions(conn)] == [two]
        assert get_execution(conn, one).hidden_at is not None


def test_unknown_execution_is_not_found(engine: Engine) -> None:
    """A missing id is NotFound with the id."""
    with transaction(engine) as conn, pytest.raises(NotFound, match="execution 4711"):
        get_execution(conn, 4711)


def test_bad_values_are_the_senders_fault(engine: Engine) -> None:
    """What PostgreSQL cannot store is told from an outage, also inside a batch."""
    for params in ({"a": "\x00"}, {"a": "\ud800"}):
        with (
            pytest.raises((sa.exc.DBAPIError, UnicodeError)) as raised,
            transaction(engine) as conn,
        ):
            insert_executions(conn, [EVENT, replace(EVENT, params=params)])
        assert not isinstance(raised.value, Outage)
    with transaction(engine) as conn:
        assert list_executions(conn) == []


def test_audit_keeps_who_what_and_why(engine: Engine) -> None:
    """An audit row comes back as written, absent values as SQL null."""
    with transaction(engine) as conn:
        before = {"status": "PENDING"}
        audit.record(conn, "anna", "execution.cancel", "x/1", before=before, why="mistake")
        absent = sa.select(audit_log.c.who, audit_log.c.why).where(audit_log.c.after.is_(None))
        assert conn.execute(absent).one()._tuple() == ("anna", "mistake")
