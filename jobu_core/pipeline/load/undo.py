"""A load taken back: the rows that carry its id are deleted, its manifest row says so.

One transaction in the target. The load's key becomes free for other executions; the
execution that made it finds its own key taken, so that no attempt of it brings the rows
back by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

from psycopg import sql
from psycopg.rows import class_row

from jobu_core.crash_points import reach
from jobu_core.errors import Conflict, NotFound
from jobu_core.pipeline.load.columns import read_columns
from jobu_core.pipeline.load.engine import is_mysql
from jobu_core.pipeline.load.identifiers import parse_table
from jobu_core.pipeline.load.manifest import (
    ensure_manifest,
    find_replacement,
    lock_table_name,
    manifest_exists,
)
from jobu_core.pipeline.load.replace import refuse_cascades
from jobu_core.pipeline.load.request import Mode
from jobu_core.pipeline.load.session import bound_locks, open_session
from jobu_core.pipeline.load.stamp import LOAD_ID_COLUMN, stamped_column
from jobu_core.pipeline.load.table import find_table

if TYPE_CHECKING:
    import psycopg

    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.table import Table

_WAIT_SECONDS: Final = 30.0
_FIND: Final[LiteralString] = """
SELECT load_id, target, mode, rows, stamped, undone_at IS NOT NULL AS undone, undone_by
FROM public.jobu_loads WHERE load_id = %(load_id)s FOR UPDATE
"""
_MARK: Final[LiteralString] = """
UPDATE public.jobu_loads
SET undone_at = clock_timestamp(), undone_by = %(who)s, undone_rows = %(rows)s,
    chain_key = coalesce(chain_key, load_key),
    load_key = 'undone:' || load_id || ':' || load_key
WHERE load_id = %(load_id)s
"""


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did."""

    load_id: int
    target: str
    """``database.schema.table``."""
    loaded: int
    """Rows that the load had brought."""
    deleted: int
    """Rows of them that were there still."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The load, its row locked."""

    load_id: int
    target: str
    mode: str
    rows: int
    stamped: bool
    undone: bool
    undone_by: str | None


def undo_load(url: str, database: str, load_id: int, *, who: str) -> Undone:
    """Delete the rows of a load and mark it as undone.

    Raises NotFound for an unknown load, Conflict for one that cannot be undone,
    TargetBusy when another load of the table runs too long, TargetUnavailable when the
    database is not there. Whatever is raised, nothing was deleted.
    """
    if is_mysql(url):
        raise Conflict(
            f"database {database!r}: loads into MySQL do not mark their rows, so none can be undone"
        )
    with open_session(url, database, "jobu:undo") as connection:
        if not manifest_exists(connection):
            raise NotFound(f"database {database!r} has seen no load")
        ensure_manifest(connection, lock_wait_seconds=_WAIT_SECONDS)
        with connection.transaction():
            bound_locks(connection, _WAIT_SECONDS)
            done = _undo(connection, database, load_id, who)
        reach("undo.committed")
    return done


def _undo(connection: psycopg.Connection, database: str, load_id: int, who: str) -> Undone:
    with connection.cursor(row_factory=class_row(_Found)) as cursor:
        found = cursor.execute(_FIND, {"load_id": load_id}).fetchone()
    if found is None:
        raise NotFound(f"database {database!r} has no load {load_id}")
    target = parse_table(found.target, database=database)
    _refuse(found, target)
    lock_table_name(connection, target)
    later = find_replacement(connection, target, load_id)
    if later is not None:
        raise Conflict(f"{target}: load {load_id} was replaced by load {later}; its rows are gone")
    table = _table(connection, target, load_id)
    refuse_cascades(connection, target, table)
    deleted = connection.execute(
        sql.SQL("DELETE FROM {}{} WHERE {} = %s").format(
            sql.SQL("" if table.partitioned else "ONLY "),
            target.quoted,
            sql.Identifier(LOAD_ID_COLUMN),
        ),
        (load_id,),
    ).rowcount
    reach("undo.deleted")
    connection.execute(_MARK, {"load_id": load_id, "who": who, "rows": deleted})
    reach("undo.marked")
    return Undone(load_id, str(target), found.rows, deleted)


def _refuse(found: _Found, target: TableName) -> None:
    """Raise Conflict for what the manifest alone says cannot be undone."""
    if found.undone:
        raise Conflict(f"{target}: load {found.load_id} was undone already, by {found.undone_by}")
    if found.mode == Mode.UPSERT:
        raise Conflict(
            f"{target}: load {found.load_id} was an upsert; what its rows were before is not known"
        )
    if found.mode == Mode.REPLACE:
        raise Conflict(
            f"{target}: load {found.load_id} replaced the table; what was there before is gone"
        )
    if not found.stamped:
        raise Conflict(
            f"{target}: load {found.load_id} did not mark its rows: the table had no column "
            f"{LOAD_ID_COLUMN} then (load_id_column: true)"
        )


def _table(connection: psycopg.Connection, target: TableName, load_id: int) -> Table:
    table = find_table(connection, target)
    if table is None:
        raise Conflict(f"{target} does not exist any more")
    if not stamped_column(read_columns(connection, table.oid), str(target)):
        raise Conflict(f"{target} has no column {LOAD_ID_COLUMN} any more: load {load_id} is lost")
    return table
