"""Replace and append: the guards, the choice of a way, and emptying in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

import structlog
from psycopg import sql

from jobu_core.errors import LoadRefused
from jobu_core.pipeline.load.request import Strategy
from jobu_core.pipeline.load.rows import count_rows
from jobu_core.pipeline.load.swap import against_swap, firing_triggers, lock_exclusively
from jobu_core.pipeline.load.table import require_table

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from jobu_core.clock import Clock
    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.request import LoadRequest
    from jobu_core.pipeline.load.table import Table

_CASCADES: Final[LiteralString] = """
SELECT conrelid::regclass::text || '.' || conname
FROM pg_constraint
WHERE confrelid = %(table)s AND conrelid <> confrelid AND contype = 'f'
  AND confdeltype IN ('c', 'n', 'd')
ORDER BY 1
"""

_log = structlog.get_logger(__name__)


def rows_before(
    connection: psycopg.Connection, request: LoadRequest, table: Table | None
) -> int | None:
    """Return how many rows a replace would replace; None where no guard asks for it.

    Runs in a statement of its own after the target's lock, so that it sees what
    the load before it committed.
    """
    if request.guards.max_shrink is None or table is None:
        return None
    return count_rows(connection, request.target, table)


def check_guards(request: LoadRequest, rows: int, before: int | None) -> None:
    """Raise LoadRefused when the new rows are too few to replace the old.

    ``before`` is what ``rows_before`` returned.
    """
    if rows == 0 and not request.guards.allow_empty:
        raise LoadRefused(
            f"{request.target}: the file has no rows; a replace would empty the table "
            "(allow_empty: true if that is meant)"
        )
    shrink = request.guards.max_shrink
    if shrink is None or before is None:
        return
    if rows < before * (1 - shrink):
        raise LoadRefused(
            f"{request.target}: would shrink from {before} to {rows} rows, "
            f"more than max_shrink {shrink:g} allows"
        )


def choose_strategy(
    connection: psycopg.Connection,
    target: TableName,
    table: Table,
    asked: Strategy,
) -> Strategy:
    """Return how the replace is done; raises LoadRefused when ``swap`` is impossible."""
    if asked in {Strategy.DELETE, Strategy.TRUNCATE}:
        return asked
    reasons = against_swap(connection, table)
    if asked is Strategy.SWAP:
        if reasons:
            raise LoadRefused(f"{target} cannot be swapped: {'; '.join(reasons)}")
        return Strategy.SWAP
    reasons += tuple(f"trigger {name} fires" for name in firing_triggers(connection, table))
    if not reasons:
        return Strategy.SWAP
    _log.info("replace_in_place", table=str(target), reasons=reasons)
    return Strategy.DELETE


def lock_for_append(connection: psycopg.Connection, target: TableName) -> None:
    """Keep the table's columns as they are until the rows are in."""
    connection.execute(
        sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(target.quoted),
    )


def empty_in_place(
    connection: psycopg.Connection,
    target: TableName,
    chosen: Strategy,
    *,
    wait_seconds: float,
    clock: Clock,
    before: Callable[[Table], object],
) -> Table:
    """Lock the table, check it by ``before``, remove its rows and return it.

    ``delete`` shuts out writers only, so that what stands at commit is exactly what
    was loaded; ``truncate`` shuts out readers too. Raises LoadRefused when removing
    rows would change other tables.
    """
    if chosen is Strategy.TRUNCATE:
        lock_exclusively(connection, target, wait_seconds=wait_seconds, clock=clock)
    else:
        connection.execute(
            sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(target.quoted),
        )
    table = require_table(connection, target)
    before(table)
    rows = connection.execute(_CASCADES, {"table": table.oid}).fetchall()
    if rows:
        names = ", ".join(str(name) for (name,) in rows)
        raise LoadRefused(
            f"{target}: deleting its rows would change other tables through foreign keys: {names}"
        )
    verb = sql.SQL("TRUNCATE TABLE" if chosen is Strategy.TRUNCATE else "DELETE FROM")
    only = sql.SQL("" if table.partitioned else " ONLY")
    connection.execute(sql.SQL("{}{} {}").format(verb, only, target.quoted))
    return table
