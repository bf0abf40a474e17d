"""Rows of ``job_executions``: written by dispatch, read by everyone."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, LiteralString

import sqlalchemy as sa

from jobu_core.errors import NotFound
from jobu_core.models import Execution, ParamSource, Status, Trigger
from jobu_core.store.engine import as_dict
from jobu_core.store.schema import job_executions as rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobu_core.models import NewExecution

EXECUTION_COLUMNS: Final = [rows.c[field.name] for field in fields(Execution)]
"""What ``to_execution`` needs."""

_NEXT_IDS: Final[LiteralString] = """
SELECT nextval(pg_get_serial_sequence('job_executions', 'id'))
  FROM generate_series(1, :count)
"""

_INSERT: Final[LiteralString] = """
INSERT INTO job_executions (
  id, job_id, handler_name, params, param_source, trigger, root_execution_id,
  scheduled_time, interval_start, interval_end, dedupe_key, serial_key, priority,
  max_attempts, timeout_seconds, retry_backoff_seconds,
  kafka_topic, kafka_generation, kafka_partition, kafka_offset, message_key, message_time)
SELECT * FROM unnest(
  CAST(:id AS bigint[]), CAST(:job_id AS bigint[]), CAST(:handler_name AS text[]),
  CAST(:params AS jsonb[]), CAST(:param_source AS text[]), CAST(:trigger AS text[]),
  CAST(:root_execution_id AS bigint[]), CAST(:scheduled_time AS timestamptz[]),
  CAST(:interval_start AS timestamptz[]), CAST(:interval_end AS timestamptz[]),
  CAST(:dedupe_key AS text[]), CAST(:serial_key AS text[]), CAST(:priority AS int[]),
  CAST(:max_attempts AS int[]), CAST(:timeout_seconds AS int[]),
  CAST(:retry_backoff_seconds AS int[]), CAST(:kafka_topic AS text[]),
  CAST(:kafka_generation AS int[]), CAST(:kafka_partition AS int[]),
  CAST(:kafka_offset AS bigint[]), CAST(:message_key AS bytea[]),
  CAST(:message_time AS timestamptz[]))
ON CONFLICT (dedupe_key) DO NOTHING
RETURNING id
"""


def insert_executions(
    connection: sa.Connection,
    new: Sequence[NewExecution],
) -> list[int | None]:
    """Insert PENDING rows in one statement; return their ids in the order given.

    An id is None where a row of the same ``dedupe_key`` exists already, also
    where two of ``new`` share one (one of them is inserted).
    """
    if not new:
        return []
    ids = list(connection.scalars(sa.text(_NEXT_IDS), {"count": len(new)}))
    columns = {"id": ids} | _columns(new)
    inserted = set(connection.scalars(sa.text(_INSERT), columns))
    return [number if number in inserted else None for number in ids]


def _columns(new: Sequence[NewExecution]) -> dict[str, list[Any]]:
    """Turn rows into one array per column."""
    places = [execution.coordinates for execution in new]
    plain = (
        "job_id",
        "handler_name",
        "root_execution_id",
        "scheduled_time",
        "interval_start",
        "interval_end",
        "dedupe_key",
        "serial_key",
        "priority",
        "max_attempts",
        "timeout_seconds",
        "retry_backoff_seconds",
        "message_key",
        "message_time",
    )
    columns = {name: [getattr(execution, name) for execution in new] for name in plain}
    columns["params"] = [
        json.dumps(dict(execution.params), allow_nan=False, ensure_ascii=False) for execution in new
    ]
    columns["param_source"] = [execution.param_source.value for execution in new]
    columns["trigger"] = [execution.trigger.value for execution in new]
    for name in ("topic", "generation", "partition", "offset"):
        columns[f"kafka_{name}"] = [
            getattr(place, name) if place is not None else None for place in places
        ]
    return columns


def get_execution(connection: sa.Connection, execution_id: int) -> Execution:
    """Return one row; raises NotFound."""
    row = connection.execute(
        sa.select(*EXECUTION_COLUMNS).where(rows.c.id == execution_id)
    ).one_or_none()
    if row is None:
        msg = f"there is no execution {execution_id}"
        raise NotFound(msg)
    return to_execution(row)


def hold_execution(connection: sa.Connection, execution_id: int) -> None:
    """Keep a row from being pruned until the transaction ends; raises NotFound.

    Whoever adds to a row's chain holds it first: a chain is pruned as a whole.
    """
    held = sa.select(rows.c.id).where(rows.c.id == execution_id)
    if connection.scalar(held.with_for_update(read=True, key_share=True)) is None:
        raise NotFound(f"there is no execution {execution_id}")


def list_executions(
    connection: sa.Connection,
    *,
    status: Status | None = None,
    handler: str | None = None,
    job_id: int | None = None,
    source: ParamSource | None = None,
    limit: int = 50,
    before_id: int | None = None,
) -> list[Execution]:
    """Return the newest rows first; hidden ones are left out."""
    statement = sa.select(*EXECUTION_COLUMNS).where(rows.c.hidden_at.is_(None))
    if status is not None:
        statement = statement.where(rows.c.status == status.value)
    if handler is not None:
        statement = statement.where(rows.c.handler_name == handler)
    if job_id is not None:
        statement = statement.where(rows.c.job_id == job_id)
    if source is not None:
        statement = statement.where(rows.c.param_source == source.value)
    if before_id is not None:
        statement = statement.where(rows.c.id < before_id)
    found = connection.execute(statement.order_by(rows.c.id.desc()).limit(limit))
    return [to_execution(row) for row in found]


def to_execution(row: sa.Row[Any]) -> Execution:
    """Turn a row of all of Execution's columns into the value."""
    values = as_dict(row)
    values["status"] = Status(values["status"])
    values["trigger"] = Trigger(values["trigger"])
    values["param_source"] = ParamSource(values["param_source"])
    return Execution(**values)


def find_by_dedupe_key(connection: sa.Connection, dedupe_key: str) -> int | None:
    """Return the id of the row with that key, or None."""
    found = connection.execute(sa.select(rows.c.id).where(rows.c.dedupe_key == dedupe_key))
    return found.scalar_one_or_none()
