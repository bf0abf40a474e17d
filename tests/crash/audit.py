"""The ledger audited: nothing lost, nothing doubled, nothing left unfinished.

``violations`` holds at any moment, also between two steps of a system that works;
``unsettled`` is empty once it has come to rest; ``audit`` asks for both, and that
each message and occurrence put in came out as it should. For stores from which
nothing was pruned; ``violations_after_prune`` holds for the others as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
import sqlalchemy as sa
from psycopg import sql

from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection, Engine

Message = tuple[str, int, int]
"""A message by topic, partition and offset."""

ALWAYS: Final[Mapping[str, LiteralString]] = {
    "a message is in the ledger twice": """
        SELECT topic, generation, partition, from_offset FROM (
          SELECT l.*, max(to_offset) OVER (
                   PARTITION BY topic, generation, partition
                   ORDER BY from_offset, to_offset
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
            FROM dispatch_ledger l WHERE topic IS NOT NULL) AS ordered
         WHERE from_offset < reached""",
    "a partition's ledger does not add up to its position": """
        SELECT p.topic, p.generation, p.partition, p.start_offset, p.next_offset,
               coalesce(sum(l.count), 0) AS in_ledger
          FROM kafka_positions p LEFT JOIN dispatch_ledger l
            ON (l.topic, l.generation, l.partition) = (p.topic, p.generation, p.partition)
         GROUP BY 1, 2, 3, 4, 5
        HAVING coalesce(sum(l.count), 0) <> p.next_offset - p.start_offset""",
    "a message is in the ledger outside of what its position covers": """
        SELECT l.topic, l.generation, l.partition, l.from_offset
          FROM dispatch_ledger l LEFT JOIN kafka_positions p
            ON (l.topic, l.generation, l.partition) = (p.topic, p.generation, p.partition)
         WHERE l.topic IS NOT NULL
           AND (p.topic IS NULL OR l.from_offset < p.start_offset OR l.to_offset > p.next_offset)
        """,
    "an occurrence is in the ledger twice": """
        SELECT job_id, scheduled_time, kind, outcome FROM (
          SELECT l.*, max(coalesce(until, scheduled_time)) OVER (
                   PARTITION BY job_id
                   ORDER BY scheduled_time, until NULLS FIRST
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
            FROM dispatch_ledger l
           WHERE job_id IS NOT NULL AND source = 'cron' AND scheduled_time IS NOT NULL) AS ordered
         WHERE scheduled_time <= reached""",
    "an occurrence is decided that its job's watermark does not cover": """
        SELECT l.job_id, l.scheduled_time, j.dispatched_until
          FROM dispatch_ledger l JOIN cron_jobs j ON j.id = l.job_id
         WHERE l.source = 'cron' AND coalesce(l.until, l.scheduled_time) > j.dispatched_until""",
    "a token is where no launch is, or is missing where one is": """
        SELECT id, status, lease_token FROM job_executions
         WHERE (lease_token IS NOT NULL) <> (status IN ('QUEUED', 'RUNNING'))""",
    "a row has ended without a time, or has a time without having ended": """
        SELECT id, status, finished_at FROM job_executions
         WHERE (finished_at IS NOT NULL)
            <> (status IN ('SUCCESS', 'FAILED', 'TIMEOUT', 'CANCELED'))""",
    "a row had more attempts than it may have": """
        SELECT id, attempt, max_attempts FROM job_executions WHERE attempt > max_attempts""",
    "a serial key has two rows in flight": """
        SELECT serial_key, array_agg(id) FROM job_executions
         WHERE serial_key IS NOT NULL AND status IN ('QUEUED', 'RUNNING')
         GROUP BY serial_key HAVING count(*) > 1""",
    "a younger row of a serial key went before an older one": """
        SELECT e.serial_key, e.id, o.id FROM job_executions e JOIN job_executions o
            ON o.serial_key = e.serial_key AND o.id < e.id
         WHERE o.status = 'PENDING' AND e.status IN ('QUEUED', 'RUNNING')
           AND e.trigger NOT IN ('manual', 'retry')  -- a person may launch these out of turn""",
    "a retry is there and the first execution of its chain is not": """
        SELECT e.id, e.root_execution_id FROM job_executions e
         WHERE e.root_execution_id IS NOT NULL AND NOT EXISTS (
           SELECT FROM job_executions r WHERE r.id = e.root_execution_id)""",
    "a ledger of reloaded rejects is there and its chain is not": """
        SELECT m.key FROM jobu_meta m
         WHERE starts_with(m.key, 'reloaded:') AND NOT EXISTS (
           SELECT FROM job_executions e
            WHERE split_part(m.key, ':', 2) IN (e.id::text, e.root_execution_id::text))""",
    "a dead letter's redrives and its executions differ": """
        SELECT d.id, d.status, d.redrive_count, count(e.id)
          FROM dead_letters d LEFT JOIN job_executions e
            ON e.dedupe_key LIKE 'redrive:' || d.id || ':%'
         GROUP BY d.id HAVING count(e.id) <> d.redrive_count
            OR (d.status = 'redriven') <> (d.redrive_count > 0)""",
    "a dead letter's settlements and the audit log differ": """
        SELECT d.id, d.status, d.redrive_count, count(a.id)
          FROM dead_letters d LEFT JOIN audit_log a
            ON a.subject = 'dead_letters/' || d.id
           AND a.what IN ('dead_letter.redrive', 'dead_letter.discard')
         GROUP BY d.id HAVING count(a.id)
            <> d.redrive_count + CASE WHEN d.status = 'discarded' THEN 1 ELSE 0 END""",
}
"""What must never be, and the rows that would show it."""

_OF_WHOLE_STORES: Final = frozenset(
    {
        "a partition's ledger does not add up to its position",
        "a dead letter's redrives and its executions differ",
        "a dead letter's settlements and the audit log differ",
    }
)
"""Promises about rows that a prune may have taken."""

_UNSETTLED: Final[LiteralString] = """
SELECT id, handler_name, status, attempt, launch_count, reason, run_id, next_attempt_at
  FROM job_executions WHERE status IN ('PENDING', 'QUEUED', 'RUNNING') ORDER BY id
"""

_OF_MESSAGES: Final[LiteralString] = """
SELECT topic, partition, generate_series(from_offset, to_offset - 1) AS "offset", kind, outcome
  FROM dispatch_ledger WHERE topic IS NOT NULL
"""

_OF_OCCURRENCES: Final[LiteralString] = """
SELECT job_id, sum(count) FROM dispatch_ledger
 WHERE source = 'cron' AND job_id IS NOT NULL GROUP BY job_id
"""

_LOADED: Final[LiteralString] = """
SELECT coalesce(sum(rows) FILTER (WHERE mode = 'append'), 0)::bigint,
       (array_agg(rows ORDER BY load_id DESC) FILTER (WHERE mode = 'replace'))[1],
       count(*) FILTER (WHERE rows IS NULL),
       count(*) FILTER (WHERE mode NOT IN ('append', 'replace'))
  FROM public.jobu_loads
 WHERE target = %(target)s
"""


def violations(connection: Connection) -> list[str]:
    """Return what breaks a promise that holds at any moment; empty is good."""
    found = []
    for promise, query in ALWAYS.items():
        found += [f"{promise}: {_shown(row)}" for row in connection.execute(sa.text(query))]
    return found


def violations_after_prune(connection: Connection) -> list[str]:
    """Return what breaks a promise that also holds where rows were pruned; empty is good."""
    found = violations(connection)
    return [each for each in found if each.partition(":")[0] not in _OF_WHOLE_STORES]


def unsettled(connection: Connection) -> list[str]:
    """Return the rows that have not ended."""
    rows = connection.execute(sa.text(_UNSETTLED))
    return [f"an execution has not ended: {_shown(row)}" for row in rows]


def audit(
    engine: Engine,
    *,
    good: Collection[Message] = (),
    bad: Collection[Message] = (),
    lost: Collection[Message] = (),
    occurrences: Mapping[int, int] | None = None,
) -> None:
    """Fail with everything that is wrong with a system that has come to rest.

    ``good`` messages must each be one SUCCESS, ``bad`` ones one dead letter,
    ``lost`` ones in a gap, and no other message may be there; ``occurrences``
    says per job id how many were due.
    """
    expected = {
        **dict.fromkeys(good, "execution SUCCESS"),
        **dict.fromkeys(bad, "dead_letter"),
        **dict.fromkeys(lost, "gap"),
    }
    with transaction(engine) as connection:
        found = violations(connection) + unsettled(connection)
        found += _wrong_messages(connection, expected)
        found += _wrong_occurrences(connection, occurrences or {})
    assert not found, "\n".join(found)


def audit_loads(url: str, table: str) -> None:
    """Fail unless the rows of one target table are those of its manifest, once.

    ``table`` is named as the manifest names it (``schema.table``). For tables whose
    loads are all ``append``, or all ``replace``.
    """
    with psycopg.connect(url) as connection:
        manifest = connection.execute(_LOADED, {"target": table}).fetchone()
        schema, _, name = table.rpartition(".")
        target = sql.Identifier(*(part for part in (schema, name) if part))
        counted = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(target)).fetchone()
    assert manifest is not None
    assert counted is not None
    appended, replaced, unfinished, others = manifest
    assert unfinished == 0, f"{table}: {unfinished} loads were committed unfinished"
    assert others == 0, f"{table}: its modes cannot be audited by counting"
    wanted = appended + (replaced or 0)
    assert counted[0] == wanted, f"{table}: {counted[0]} rows, {wanted} in the manifest"


def _wrong_messages(connection: Connection, expected: Mapping[Message, str]) -> list[str]:
    seen: dict[Message, str] = {}
    for topic, partition, offset, kind, outcome in connection.execute(sa.text(_OF_MESSAGES)):
        what = f"execution {outcome}" if kind == "execution" else kind
        seen[topic, partition, offset] = what
    return [
        f"message {message}: expected {expected.get(message)}, is {seen.get(message)}"
        for message in sorted(expected.keys() | seen.keys())
        if expected.get(message) != seen.get(message)
    ]


def _wrong_occurrences(connection: Connection, expected: Mapping[int, int]) -> list[str]:
    rows = connection.execute(sa.text(_OF_OCCURRENCES))
    seen = {int(row[0]): int(row[1]) for row in rows}
    return [
        f"job {job_id}: {due} occurrences were due, {seen.get(job_id, 0)} are in the ledger"
        for job_id, due in expected.items()
        if seen.get(job_id, 0) != due
    ]


def _shown(row: sa.Row[Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in row._asdict().items())
