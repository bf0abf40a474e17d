"""Claiming due rows for launch: PENDING → QUEUED under one lock, a token per launch.

Rules 8 and 9 of the engine: the window bounds launches in flight, a serial key
has at most one row in flight and always its oldest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString
from uuid import uuid4

from sqlalchemy import text

from jobu_core.models import LaunchBatch, ParamSource

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    import sqlalchemy as sa

LAUNCH_LOCK: Final = 0x6A6F6275_00000003
"""Key of the transaction-level advisory lock: one claim at a time."""

_CAPACITY: Final[LiteralString] = """
SELECT (SELECT coalesce(sum(slots), 0) FROM workers
         WHERE NOT draining AND code_version = :code_version
           AND heartbeat_at > jobu_now() - make_interval(secs => :lease)) AS live_slots,
       (SELECT coalesce(sum(slots), 0) FROM workers
         WHERE NOT draining AND code_version <> :code_version
           AND heartbeat_at > jobu_now() - make_interval(secs => :lease)) AS other_slots,
       (SELECT count(DISTINCT lease_token) FROM job_executions
         WHERE status IN ('QUEUED', 'RUNNING')) AS in_flight,
       (SELECT count(*) FROM (
          SELECT 1 FROM job_executions e
           WHERE status = 'PENDING' AND handler_name = ANY(:handlers)
             AND (:with_fused OR NOT
                  (e.handler_name = ANY(:fusible) AND e.params @> '{"fused": true}'))
             AND (next_attempt_at IS NULL OR next_attempt_at <= jobu_now())
           LIMIT 1000) AS due) AS due
"""

_DUE: Final[LiteralString] = """
WITH due AS (
  SELECT e.id
    FROM job_executions e
   WHERE e.status = 'PENDING'
     AND e.handler_name = ANY(:handlers)
     AND (:with_fused OR NOT
          (e.handler_name = ANY(:fusible) AND e.params @> '{"fused": true}'))
     AND (e.next_attempt_at IS NULL OR e.next_attempt_at <= jobu_now())
     AND (e.serial_key IS NULL OR NOT EXISTS (
           SELECT 1 FROM job_executions o
            WHERE o.serial_key = e.serial_key
              AND (o.status IN ('QUEUED', 'RUNNING')
                   OR (o.status = 'PENDING' AND o.id < e.id))))
   ORDER BY e.priority DESC, e.id
   LIMIT :most
)
SELECT e.id, e.handler_name, e.param_source, e.priority,
       (e.handler_name = ANY(:fusible) AND e.params @> '{"fused": true}') AS fused
  FROM job_executions e JOIN due USING (id)
 WHERE e.status = 'PENDING'
 ORDER BY e.id
   FOR UPDATE OF e SKIP LOCKED
"""

_QUEUE: Final[LiteralString] = """
UPDATE job_executions e
   SET status = 'QUEUED', lease_token = given.token, queued_at = jobu_now(),
       run_id = NULL, worker_id = NULL, heartbeat_at = NULL, next_attempt_at = NULL
  FROM unnest(CAST(:ids AS bigint[]), CAST(:tokens AS uuid[])) AS given (id, token)
 WHERE e.id = given.id AND e.status = 'PENDING'
"""

_AHEAD_IN_KEY: Final[LiteralString] = """
SELECT o.id
  FROM job_executions o
 WHERE o.serial_key = :serial_key AND o.id <> :id
   AND (o.status IN ('QUEUED', 'RUNNING') OR (o.status = 'PENDING' AND o.id < :id))
 ORDER BY o.id
 LIMIT 1
"""

_LOCK: Final[LiteralString] = "SELECT pg_advisory_xact_lock(:key)"

_RUN_CLAIM: Final[LiteralString] = """
UPDATE job_executions
   SET status = 'QUEUED', lease_token = :token, queued_at = jobu_now(), next_attempt_at = NULL
 WHERE id = :id AND status = 'PENDING'
   AND (serial_key IS NULL OR NOT EXISTS (
         SELECT 1 FROM job_executions o
          WHERE o.serial_key = job_executions.serial_key
            AND o.status IN ('QUEUED', 'RUNNING')))
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class DueRow:
    """A PENDING row whose time has come."""

    id: int
    handler: str
    source: ParamSource
    fused: bool = False
    """Whether its params ask for one op instead of one per stage."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows are claimed."""

    handlers: Collection[str]
    fusible: Collection[str] = ()
    """Handlers whose rows with ``fused: true`` belong to a job of their own."""
    with_fused: bool = True
    """Whether those rows are claimed, too."""

    def as_values(self) -> dict[str, object]:
        """Return the values of the statements here."""
        return {
            "handlers": list(self.handlers),
            "fusible": list(self.fusible),
            "with_fused": self.with_fused,
        }


@dataclass(frozen=True, slots=True)
class Capacity:
    """What bounds the next launches, read under the launch lock."""

    live_slots: int
    """Slots of live workers of this code version that are not draining."""
    other_slots: int
    """Slots of live workers of another code version; they are not launched to."""
    in_flight: int
    """Distinct launch tokens in QUEUED or RUNNING."""
    due: int
    """PENDING rows whose time has come, counted up to 1,000."""


def lock_launching(connection: sa.Connection) -> None:
    """Wait until no other transaction claims; held until this one ends."""
    connection.execute(text(_LOCK), {"key": LAUNCH_LOCK})


def read_capacity(
    connection: sa.Connection,
    *,
    scope: Scope,
    code_version: str,
    lease_seconds: float,
) -> Capacity:
    """Count live slots, launches in flight and due rows of ``scope``."""
    row = connection.execute(
        text(_CAPACITY),
        {**scope.as_values(), "code_version": code_version, "lease": lease_seconds},
    ).one()
    return Capacity(int(row.live_slots), int(row.other_slots), int(row.in_flight), int(row.due))


def lock_due(
    connection: sa.Connection,
    *,
    scope: Scope,
    most: int,
) -> list[DueRow]:
    """Return up to ``most`` due rows by priority, then age, and keep others from them.

    Rows that somebody else is changing are left out. Call ``lock_launching`` first in
    the same transaction.
    """
    found = connection.execute(text(_DUE), {**scope.as_values(), "most": most})
    rows = sorted(found, key=lambda row: (-int(row.priority), int(row.id)))
    return [
        DueRow(row.id, row.handler_name, ParamSource(row.param_source), row.fused) for row in rows
    ]


def queue(
    connection: sa.Connection,
    groups: Sequence[Sequence[DueRow]],
) -> tuple[LaunchBatch, ...]:
    """Turn each group of locked due rows into one launch with a fresh token."""
    batches = tuple(
        LaunchBatch(
            uuid4(),
            group[0].handler,
            tuple(row.id for row in group),
            group[0].source,
            group[0].fused,
        )
        for group in groups
    )
    given = [(row_id, batch.token) for batch in batches for row_id in batch.execution_ids]
    if given:
        ids, tokens = zip(*given, strict=True)
        connection.execute(text(_QUEUE), {"ids": list(ids), "tokens": list(tokens)})
    return batches


def claim_for_run(connection: sa.Connection, execution_id: int, token: UUID) -> bool:
    """Turn one PENDING row into a launch of a run that exists already.

    For runs that a person started in Dagster. False when the row is not PENDING
    or another of its serial key is in flight.
    """
    claimed = connection.execute(text(_RUN_CLAIM), {"id": execution_id, "token": token})
    return claimed.one_or_none() is not None


def ahead_in_key(connection: sa.Connection, serial_key: str, execution_id: int) -> int | None:
    """Return the execution that must end before this one of the same serial key starts."""
    values = {"serial_key": serial_key, "id": execution_id}
    return connection.execute(text(_AHEAD_IN_KEY), values).scalar_one_or_none()
