"""Rows on their way: COPY in portions, counted; statistics afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg
import structlog
from psycopg import sql

from jobu_core.crash_points import reach
from jobu_core.errors import LoadRefused
from jobu_core.pipeline.load.columns import encode_batch
from jobu_core.pipeline.load.session import one
from jobu_core.pipeline.load.wire import to_csv
from jobu_core.pipeline.overlap import ahead

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from jobu_core.pipeline.load.columns import ColumnPlan
    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.source import Source
    from jobu_core.pipeline.load.table import Table

_SLICE_BYTES: Final = 128 * 1024
"""Larger writes to COPY were measured to be slower."""

_log = structlog.get_logger(__name__)


def copy_rows(
    connection: psycopg.Connection,
    target: TableName,
    source: Source,
    plans: Sequence[ColumnPlan],
) -> int:
    """Send every row of the file and return how many landed.

    Raises LoadRefused when the file gave another number of rows than its footer
    says, DataError when the server refuses a value.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, ENCODING 'UTF8')").format(
        target.quoted,
        sql.SQL(", ").join(sql.Identifier(plan.name) for plan in plans),
    )
    sent = 0
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy, ahead(_encoded(source, plans)) as portions:
            for encoded, rows in portions:
                for start in range(0, len(encoded), _SLICE_BYTES):
                    copy.write(encoded[start : start + _SLICE_BYTES])
                    reach("copy.slice_sent")
                sent += rows
        landed = cursor.rowcount
        reach("copy.ended")
    if sent != source.rows:
        raise LoadRefused(f"{source.path.name}: footer says {source.rows} rows, {sent} were read")
    return landed


def _encoded(source: Source, plans: Sequence[ColumnPlan]) -> Generator[tuple[memoryview, int]]:
    """Yield the rows as CSV, a portion at a time, with how many they are."""
    for batch in source.batches():
        yield to_csv(encode_batch(batch, plans)), batch.num_rows


def count_rows(connection: psycopg.Connection, target: TableName, table: Table) -> int:
    """Return how many rows the table holds, those of its partitions included."""
    only = sql.SQL("" if table.partitioned else "ONLY ")
    (found,) = one(
        connection,
        sql.SQL("SELECT count(*) FROM {}{}").format(only, target.quoted),
    )
    return int(found)


def analyze(connection: psycopg.Connection, target: TableName) -> None:
    """Refresh the planner's statistics; a failure is told, the load stands."""
    try:
        with connection.transaction():
            connection.execute("SELECT set_config('lock_timeout', '5s', true)")
            connection.execute(sql.SQL("ANALYZE {}").format(target.quoted))
    except psycopg.Error as error:
        _log.warning("analyze_failed", table=str(target), sqlstate=error.sqlstate)
