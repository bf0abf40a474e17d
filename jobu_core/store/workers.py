"""Rows of ``workers``: which Celery main processes live, with how many slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

import sqlalchemy as sa

from jobu_core.models import Worker
from jobu_core.store.engine import as_dict
from jobu_core.store.schema import workers

if TYPE_CHECKING:
    from collections.abc import Mapping

_BEAT: Final[LiteralString] = """
INSERT INTO workers (id, host, main_pid, slots, code_version, draining)
VALUES (:id, :host, :main_pid, :slots, :code_version, :draining)
ON CONFLICT (id) DO UPDATE
   SET heartbeat_at = jobu_now(), slots = excluded.slots, draining = excluded.draining,
       code_version = excluded.code_version, host = excluded.host, main_pid = excluded.main_pid
"""

_FORGET: Final[LiteralString] = """
DELETE FROM workers w
 WHERE w.heartbeat_at < jobu_now() - make_interval(secs => :seconds)
   AND NOT EXISTS (SELECT 1 FROM job_executions e
                    WHERE e.worker_id = w.id AND e.status IN ('QUEUED', 'RUNNING'))
"""

_DRAINING: Final[LiteralString] = "SELECT draining FROM workers WHERE id = :id"

_NEWEST_VERSION: Final[LiteralString] = "SELECT value FROM jobu_meta WHERE key = 'code_version'"

_SET_VERSION: Final[LiteralString] = """
INSERT INTO jobu_meta (key, value) VALUES ('code_version', :version)
ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE jobu_meta.value <> excluded.value
"""


def beat(
    connection: sa.Connection,
    *,
    worker_id: str,
    host: str,
    main_pid: int,
    slots: int,
    code_version: str,
    draining: bool,
) -> None:
    """Say that a worker lives, adding its row at the first beat."""
    connection.execute(
        sa.text(_BEAT),
        {
            "id": worker_id,
            "host": host,
            "main_pid": main_pid,
            "slots": slots,
            "code_version": code_version,
            "draining": draining,
        },
    )


def is_draining(connection: sa.Connection, worker_id: str) -> bool:
    """Whether a worker takes no further launches; one that is not known does."""
    return bool(connection.execute(sa.text(_DRAINING), {"id": worker_id}).scalar_one_or_none())


def remove(connection: sa.Connection, worker_id: str) -> None:
    """Forget a worker that has ended in an orderly way."""
    connection.execute(workers.delete().where(workers.c.id == worker_id))


def forget_dead(connection: sa.Connection, *, older_than_seconds: float) -> int:
    """Delete workers unheard of for so long that no row names them; returns rows."""
    done = connection.execute(sa.text(_FORGET), {"seconds": older_than_seconds})
    return done.rowcount


def list_workers(connection: sa.Connection) -> list[Worker]:
    """Return every known worker, the most recently heard of first."""
    found = connection.execute(sa.select(workers).order_by(workers.c.heartbeat_at.desc()))
    return [Worker(**as_dict(row)) for row in found]


def live_versions(connection: sa.Connection, *, lease_seconds: float) -> Mapping[str, int]:
    """Return live slots that are not draining, per code version."""
    fresh = sa.func.jobu_now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, lease_seconds)
    found = connection.execute(
        sa.select(workers.c.code_version, sa.func.sum(workers.c.slots))
        .where(~workers.c.draining, workers.c.heartbeat_at > fresh)
        .group_by(workers.c.code_version),
    )
    return {version: int(slots) for version, slots in found}


def lives_on(connection: sa.Connection, host: str, *, lease_seconds: float) -> bool:
    """Say whether a worker of ``host`` has a fresh heartbeat, draining or not."""
    fresh = sa.func.jobu_now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, lease_seconds)
    found = sa.select(workers.c.id).where(workers.c.host == host, workers.c.heartbeat_at > fresh)
    return connection.execute(found.limit(1)).first() is not None


def publish_code_version(connection: sa.Connection, version: str) -> None:
    """Record the dispatcher's code version; workers of another one drain."""
    connection.execute(sa.text(_SET_VERSION), {"version": version})


def published_code_version(connection: sa.Connection) -> str | None:
    """Return the code version that launches are made for, or None before the first."""
    return connection.execute(sa.text(_NEWEST_VERSION)).scalar_one_or_none()
