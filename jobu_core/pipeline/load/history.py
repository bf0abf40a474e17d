"""What ``jobu_loads`` of a target says of the loads it has seen; for people, read only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

from psycopg.rows import class_row

from jobu_core.pipeline.load.engine import is_mysql
from jobu_core.pipeline.load.mysql import history as mysql
from jobu_core.pipeline.load.session import one, open_session

if TYPE_CHECKING:
    from datetime import datetime

    from jobu_core.pipeline.load.identifiers import TableName

_EXISTS: Final[LiteralString] = "SELECT to_regclass('public.jobu_loads') IS NOT NULL"
_LIST: Final[LiteralString] = """
SELECT %(database)s AS database, load_id, target, mode, rows, rejected, execution_id,
       effective_time, loaded_at, load_key, source_sha256,
       coalesce((to_jsonb(l) ->> 'stamped')::boolean, false) AS stamped,
       (to_jsonb(l) ->> 'undone_at')::timestamptz AS undone_at,
       to_jsonb(l) ->> 'undone_by' AS undone_by,
       (to_jsonb(l) ->> 'undone_rows')::bigint AS undone_rows
FROM public.jobu_loads AS l
WHERE (%(target)s::text IS NULL OR target = %(target)s)
  AND (%(load_id)s::bigint IS NULL OR load_id = %(load_id)s)
ORDER BY load_id DESC LIMIT %(limit)s
"""
"""Columns that an older jobu did not make are null."""


@dataclass(frozen=True, slots=True)
class PastLoad:
    """One row of a manifest."""

    database: str
    """Its name in the configuration."""
    load_id: int
    target: str
    """``schema.table``."""
    mode: str
    rows: int | None
    rejected: int
    execution_id: int
    effective_time: datetime
    loaded_at: datetime | None
    load_key: str
    source_sha256: str | None
    stamped: bool = False
    """Whether its rows carry its id, in ``_jobu_load_id``."""
    undone_at: datetime | None = None
    undone_by: str | None = None
    undone_rows: int | None = None
    """Rows that the undo took away."""


def list_loads(
    url: str,
    database: str,
    *,
    target: TableName | None = None,
    load_id: int | None = None,
    limit: int = 50,
) -> list[PastLoad]:
    """Return the newest loads of a target database first; none where there is no manifest.

    Raises TargetUnavailable when the database is not there.
    """
    values = {
        "database": database,
        "target": None if target is None else target.in_database,
        "load_id": load_id,
        "limit": limit,
    }
    if is_mysql(url):
        return [PastLoad(database, *row) for row in mysql.list_loads(url, database, values)]
    with open_session(url, database, "jobu:loads") as connection:
        (exists,) = one(connection, _EXISTS)
        if not exists:
            return []
        with connection.cursor(row_factory=class_row(PastLoad)) as cursor:
            return cursor.execute(_LIST, values).fetchall()
