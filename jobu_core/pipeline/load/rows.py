"""Rows on their way: COPY in portions, counted; statistics afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, LiteralString

import psycopg
import structlog
from psycopg import sql

from jobu_core.crash_points import reach
from jobu_core.errors import LoadRefused, TargetBusy
from jobu_core.pipeline.load.formats import format_of
from jobu_core.pipeline.load.session import one
from jobu_core.pipeline.overlap import behind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from jobu_core.pipeline.load.columns import ColumnPlan
    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.source import Source
    from jobu_core.pipeline.load.table import Table

_SLICE_BYTES: Final = 128 * 1024
"""Larger writes to COPY were measured to be slower."""

_PORTION_ROWS: Final = 16_384
"""Rows encoded at a time; what a source yields may be larger."""

_TYPES: Final[LiteralString] = """
SELECT attname, format_type(atttypid, atttypmod)
FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""

_SAMPLE_ROWS: Final = 30_000
"""What ANALYZE reads with the default statistics target, however large the table is."""

_FLUSHES_STATISTICS: Final = 15_00_00
"""First version of the server that can be asked to."""

_WORTH_ANALYZING: Final[LiteralString] = """
SELECT c.relkind = 'p'
    OR c.reltuples < 0
    OR NOT current_setting('track_counts')::boolean
    OR %(changed)s + COALESCE(pg_stat_get_mod_since_analyze(c.oid), 0)
       > current_setting('autovacuum_analyze_threshold')::float8
       + current_setting('autovacuum_analyze_scale_factor')::float8 * c.reltuples
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s
"""
"""The server's own rule; it never analyzes a partitioned table by itself."""

_ACTS_ON_ROWS: Final[LiteralString] = (
    "SELECT relhastriggers OR relhasrules FROM pg_class WHERE oid = %(table)s"
)

_log = structlog.get_logger(__name__)


def copy_rows(
    connection: psycopg.Connection,
    target: TableName,
    source: Source,
    plans: Sequence[ColumnPlan],
) -> int:
    """Send every row of the source and return how many landed.

    The table must be locked, or made in this very transaction. Raises TargetBusy when
    its types are not those of the plans (altered since they were made), LoadRefused
    when the source gave another number of rows than it says it has, DataError when
    the server refuses a value, and what the source raises. The source is read in the
    caller's thread, which may run a user's code for it, and what was read before is
    sent in another.
    """
    _insist_on_types(connection, target, plans)
    way = format_of(plans)
    statement = sql.SQL("COPY {} ({}) FROM STDIN ({})").format(
        target.quoted,
        sql.SQL(", ").join(sql.Identifier(plan.name) for plan in plans),
        sql.SQL(way.options),
    )
    sent = 0
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            copy.write(way.header)
            with behind(partial(_send, copy)) as send:
                for portion in _portions(source):
                    send(way.encode(portion, plans, sent))
                    sent += portion.num_rows
            copy.write(way.trailer)
        landed = cursor.rowcount
        reach("copy.ended")
    expected = source.known().rows
    if sent != expected:
        raise LoadRefused(f"{source.name}: has {expected} rows by its own count, {sent} were read")
    return landed


def _insist_on_types(
    connection: psycopg.Connection, target: TableName, plans: Sequence[ColumnPlan]
) -> None:
    """In binary the bytes of one type are a value of another one, of the same width."""
    there = connection.execute(_TYPES, (target.quoted.as_string(connection),)).fetchall()
    if not {(plan.name, plan.shown) for plan in plans} <= set(there):
        raise TargetBusy(f"{target} was altered while it was loaded")


def _portions(source: Source) -> Iterator[pa.RecordBatch]:
    """Yield the rows a few at a time, whatever the source gives at once."""
    for batch in source.batches():
        for start in range(0, batch.num_rows, _PORTION_ROWS):
            yield batch.slice(start, _PORTION_ROWS)


def _send(copy: psycopg.Copy, encoded: memoryview) -> None:
    """Write a portion of rows, in slices."""
    for start in range(0, len(encoded), _SLICE_BYTES):
        copy.write(encoded[start : start + _SLICE_BYTES])
        reach("copy.slice_sent")


def count_rows(connection: psycopg.Connection, target: TableName, table: Table) -> int:
    """Return how many rows the table holds, those of its partitions included."""
    only = sql.SQL("" if table.partitioned else "ONLY ")
    (found,) = one(
        connection,
        sql.SQL("SELECT count(*) FROM {}{}").format(only, target.quoted),
    )
    return int(found)


def acts_on_rows(connection: psycopg.Connection, table: Table) -> bool:
    """Whether the table has triggers or rules, so that it may hold other rows than were sent."""
    (found,) = one(connection, _ACTS_ON_ROWS, {"table": table.oid})
    return bool(found)


def analyze_changed(connection: psycopg.Connection, target: TableName, rows: int) -> None:
    """Refresh the planner's statistics after a load of ``rows``, as ``analyze`` does.

    A small load into a large table leaves them alone, as the server's own rule would:
    ANALYZE would take many times as long as the load.
    """
    with _load_stands(target):
        if rows < _SAMPLE_ROWS:
            parameters = {"changed": rows, "schema": target.schema, "table": target.table}
            row = connection.execute(_WORTH_ANALYZING, parameters).fetchone()
            if row is not None and not row[0]:
                return
        if connection.info.server_version >= _FLUSHES_STATISTICS:
            connection.execute("SELECT pg_stat_force_next_flush()")  # else this load counts twice
    analyze(connection, target)


def analyze(connection: psycopg.Connection, target: TableName) -> None:
    """Refresh the planner's statistics; a failure is told, the load stands."""
    with _load_stands(target), connection.transaction():
        connection.execute("SELECT set_config('lock_timeout', '5s', true)")
        connection.execute(sql.SQL("ANALYZE {}").format(target.quoted))


@contextmanager
def _load_stands(target: TableName) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        _log.warning("analyze_failed", table=str(target), sqlstate=error.sqlstate)
