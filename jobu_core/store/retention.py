"""Which rows nobody needs any more, and their deletion; one portion per transaction (rule 19).

An execution goes together with its chain: the first one and all operator retries of
it. A key that can still come again is kept: of an occurrence that its job's
watermark does not cover, of a message that its group's position has not passed.
Each function chooses with the locks that a deletion needs, in order of id.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, LiteralString
from uuid import UUID

import sqlalchemy as sa

from jobu_core.store.engine import as_dict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

LEDGER: Final = "reloaded:"
"""Prefix of the keys of ``store/reloads.py`` in ``jobu_meta``."""

_CLAIMS: Final[LiteralString] = "SELECT value FROM jobu_meta WHERE starts_with(key, :prefix)"

_OLD_CHAINS: Final[LiteralString] = """
SELECT e.id, coalesce(e.root_execution_id, e.id) AS root
  FROM job_executions e
 WHERE e.id > :after AND e.finished_at < :cutoff
   AND NOT EXISTS (
     SELECT FROM job_executions other
      WHERE (other.id = coalesce(e.root_execution_id, e.id)
             OR other.root_execution_id = coalesce(e.root_execution_id, e.id))
        AND (other.id < e.id OR other.finished_at IS NULL OR other.finished_at >= :cutoff))
 ORDER BY e.id
 LIMIT :most
"""
"""The oldest row of each chain of which all has ended long ago."""

_LOCK_CHAINS: Final[LiteralString] = """
SELECT id FROM job_executions
 WHERE id = ANY(:roots) OR root_execution_id = ANY(:roots)
 ORDER BY id
   FOR UPDATE
"""

_MAY_GO: Final[LiteralString] = """
SELECT array_agg(e.id ORDER BY e.id) AS ids, coalesce(e.root_execution_id, e.id) AS root
  FROM job_executions e
 WHERE e.id = ANY(:roots) OR e.root_execution_id = ANY(:roots)
 GROUP BY root
HAVING bool_and(
         e.finished_at IS NOT NULL AND e.finished_at < :cutoff
     AND e.id <> ALL(:claimed)
     AND (e.job_id IS NULL OR e.scheduled_time IS NULL OR EXISTS (
            SELECT FROM cron_jobs j
             WHERE j.id = e.job_id AND e.scheduled_time <= j.dispatched_until))
     AND (e.kafka_topic IS NULL OR EXISTS (
            SELECT FROM kafka_positions p
             WHERE p.topic = e.kafka_topic
               AND (NOT starts_with(coalesce(e.dedupe_key, ''), 'event:')
                    OR e.dedupe_key = concat_ws(':', 'event', p.group_id, e.kafka_topic,
                         e.kafka_generation, e.kafka_partition, e.kafka_offset))
               AND (p.generation > e.kafka_generation
                    OR (p.generation = e.kafka_generation AND p.partition = e.kafka_partition
                        AND p.next_offset > e.kafka_offset)))))
 ORDER BY root
"""
"""Read once the locks are held: what was inserted into a chain meanwhile is seen."""

_LETTERS: Final[LiteralString] = """
SELECT d.id
  FROM dead_letters d
 WHERE d.id > :after AND d.status <> 'open' AND d.created_at < :cutoff
   AND d.mirror_topic IS NULL
   AND NOT EXISTS (
     SELECT FROM job_executions e
      WHERE e.id = d.execution_id AND (e.finished_at IS NULL OR e.finished_at >= :cutoff))
   AND EXISTS (
     SELECT FROM kafka_positions p
      WHERE p.group_id = d.group_id AND p.topic = d.topic
        AND (p.generation > d.generation
             OR (p.generation = d.generation AND p.partition = d.partition
                 AND p.next_offset > d."offset")))
 ORDER BY d.id
 LIMIT :most
   FOR UPDATE OF d SKIP LOCKED
"""
"""A letter with a copy in a topic stays: redriven from there, it would run once more."""

_SKIPS: Final[LiteralString] = """
SELECT s.job_id, s.scheduled_time
  FROM dispatch_skips s JOIN cron_jobs j ON j.id = s.job_id
 WHERE (s.job_id, s.scheduled_time) > (:after_job, :after_time)
   AND s.decided_at < :cutoff
   AND coalesce(s.until, s.scheduled_time) <= j.dispatched_until
 ORDER BY s.job_id, s.scheduled_time
 LIMIT :most
   FOR UPDATE OF s SKIP LOCKED
"""

_DELETE_EXECUTIONS: Final[LiteralString] = "DELETE FROM job_executions WHERE id = ANY(:ids)"
_DELETE_LEDGERS: Final[LiteralString] = "DELETE FROM jobu_meta WHERE key = ANY(:keys)"
_DELETE_LETTERS: Final[LiteralString] = "DELETE FROM dead_letters WHERE id = ANY(:ids)"
_DELETE_SKIPS: Final[LiteralString] = """
DELETE FROM dispatch_skips s
 USING unnest(CAST(:jobs AS bigint[]), CAST(:times AS timestamptz[])) AS gone(job_id, at)
 WHERE s.job_id = gone.job_id AND s.scheduled_time = gone.at
"""

_NAMED_RUNS: Final[LiteralString] = """
SELECT run_id FROM job_executions
 WHERE run_id = ANY(:runs) AND status IN ('PENDING', 'QUEUED', 'RUNNING')
 UNION
SELECT lease_token::text FROM job_executions
 WHERE lease_token::text = ANY(:runs) AND status IN ('QUEUED', 'RUNNING')
"""

_WORK: Final[LiteralString] = """
SELECT count(*) AS rows, bool_and(coalesce(finished_at < :cutoff, false)) AS ended
  FROM job_executions WHERE id = :id OR root_execution_id = :id
"""

_RELOADED_FILES: Final[LiteralString] = """
SELECT DISTINCT params ->> 'input_path' FROM job_executions
 WHERE params ->> 'input_path' LIKE '%.reload'
"""


_MAY_DELETE: Final[LiteralString] = """
SELECT bool_and(has_table_privilege(name, 'DELETE'))
  FROM unnest(ARRAY['job_executions', 'dead_letters', 'dispatch_skips', 'jobu_meta']) AS t(name)
"""


@dataclass(frozen=True, slots=True)
class Portion:
    """Rows that may go, locked until the transaction ends, and where the next portion begins."""

    rows: int
    after: Any
    """What to give for the next portion; None after the last one."""
    parameters: Mapping[str, Any]


def may_delete(connection: sa.Connection) -> bool:
    """Whether the role of this connection has the rights that pruning takes."""
    return bool(connection.scalar(sa.text(_MAY_DELETE)))


def read_claimed(connection: sa.Connection) -> Sequence[int]:
    """Return the executions that a ledger of reloaded rejects names: it must find them."""
    ledgers = connection.scalars(sa.text(_CLAIMS), {"prefix": LEDGER})
    return sorted({int(execution) for ledger in ledgers for execution in json.loads(ledger)})


def old_executions(
    connection: sa.Connection,
    cutoff: datetime,
    claimed: Sequence[int],
    *,
    after: int | None,
    most: int,
) -> Portion:
    """Choose whole chains of executions that ended before ``cutoff``."""
    values = {"cutoff": cutoff, "after": after or 0, "most": most}
    found = connection.execute(sa.text(_OLD_CHAINS), values).all()
    roots = [row.root for row in found]
    connection.execute(sa.text(_LOCK_CHAINS), {"roots": roots})
    going = connection.execute(
        sa.text(_MAY_GO), {"roots": roots, "cutoff": cutoff, "claimed": list(claimed)}
    ).all()
    ids = [each for row in going for each in row.ids]
    keys = [f"{LEDGER}{row.root}" for row in going]
    return Portion(
        len(ids),
        found[-1].id if len(found) == most else None,
        {"ids": sorted(ids), "keys": keys},
    )


def delete_executions(connection: sa.Connection, portion: Portion) -> None:
    """Delete the chosen chains, and the ledgers of what was reloaded from their rejects."""
    connection.execute(sa.text(_DELETE_EXECUTIONS), {"ids": portion.parameters["ids"]})
    connection.execute(sa.text(_DELETE_LEDGERS), {"keys": portion.parameters["keys"]})


def old_dead_letters(
    connection: sa.Connection, cutoff: datetime, *, after: UUID | None, most: int
) -> Portion:
    """Choose settled dead letters whose message cannot be read again."""
    values = {"cutoff": cutoff, "after": after or UUID(int=0), "most": most}
    ids = list(connection.scalars(sa.text(_LETTERS), values))
    return Portion(len(ids), ids[-1] if len(ids) == most else None, {"ids": ids})


def delete_dead_letters(connection: sa.Connection, portion: Portion) -> None:
    """Delete the chosen dead letters."""
    connection.execute(sa.text(_DELETE_LETTERS), dict(portion.parameters))


def old_skips(
    connection: sa.Connection,
    cutoff: datetime,
    *,
    after: tuple[int, datetime] | None,
    most: int,
) -> Portion:
    """Choose skips that their job's watermark covers."""
    job, time = after or (0, datetime(1, 1, 1, tzinfo=UTC))
    values = {"cutoff": cutoff, "after_job": job, "after_time": time, "most": most}
    found = [(row[0], row[1]) for row in connection.execute(sa.text(_SKIPS), values)]
    chosen = {"jobs": [job for job, _ in found], "times": [time for _, time in found]}
    return Portion(len(found), found[-1] if len(found) == most else None, chosen)


def delete_skips(connection: sa.Connection, portion: Portion) -> None:
    """Delete the chosen skips."""
    connection.execute(sa.text(_DELETE_SKIPS), dict(portion.parameters))


def runs_in_use(connection: sa.Connection, run_ids: Collection[str]) -> set[str]:
    """Return those of the runs that an unfinished row names, by run id or by token."""
    return set(connection.scalars(sa.text(_NAMED_RUNS), {"runs": list(run_ids)}))


def work_has_ended(connection: sa.Connection, execution_id: int, cutoff: datetime) -> bool | None:
    """Whether an execution and its retries ended before ``cutoff``; None if there is no row.

    When they did, they are locked until the transaction ends: none is retried meanwhile.
    """
    for lock in (False, True):
        if lock:
            connection.execute(sa.text(_LOCK_CHAINS), {"roots": [execution_id]})
        values = {"id": execution_id, "cutoff": cutoff}
        found = as_dict(connection.execute(sa.text(_WORK), values).one())
        if not found["rows"]:
            return None
        if not found["ended"]:
            return False
    return True


def reloaded_files(connection: sa.Connection) -> set[str]:
    """Return the input paths of all executions of corrected rejects."""
    return set(connection.scalars(sa.text(_RELOADED_FILES)))
