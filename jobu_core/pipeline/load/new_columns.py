"""Columns that a file has and its PostgreSQL table has not yet: added in the load's transaction."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from jobu_core.crash_points import reach
from jobu_core.pipeline.load.columns import compare_columns, read_columns
from jobu_core.pipeline.load.manifest import lock_target
from jobu_core.pipeline.load.request import SchemaChanges
from jobu_core.pipeline.load.swap import lock_exclusively
from jobu_core.pipeline.load.table import add_columns, require_table

if TYPE_CHECKING:
    import psycopg

    from jobu_core.clock import Clock
    from jobu_core.pipeline.load.columns import ColumnPlan
    from jobu_core.pipeline.load.contract import Comparison
    from jobu_core.pipeline.load.request import LoadRequest
    from jobu_core.pipeline.load.source import Source
    from jobu_core.pipeline.load.table import Table

_log = structlog.get_logger(__name__)


def compare(
    connection: psycopg.Connection, request: LoadRequest, source: Source, table: Table
) -> Comparison[ColumnPlan]:
    """Hold the source's columns against the table's as they are now."""
    there = read_columns(connection, table.oid)
    return compare_columns(source.schema, source.nulls, there, request.policy)


def settle_columns(
    connection: psycopg.Connection,
    request: LoadRequest,
    source: Source,
    table: Table,
    *,
    clock: Clock,
) -> SchemaChanges:
    """Let the table have the source's new columns, if the request says so.

    Its lock is held from here to the commit: readers never see a column without the
    rows that brought it. Raises SchemaMismatch with every difference that the policy
    does not allow, TargetBusy when the lock was not granted in time.
    """
    found = compare(connection, request, source, table)
    found.insist(str(request.target))
    if found.agreement.new:
        lock_target(connection, request)
        lock_exclusively(
            connection, request.target, wait_seconds=request.lock_wait_seconds, clock=clock
        )
        table = require_table(connection, request.target)
        found = compare(connection, request, source, table)  # another load may have added them
        found.insist(str(request.target))
    if found.agreement.new:
        add_columns(connection, request.target, found.agreement.new)
        reach("load.columns_added")
    changes = found.agreement.changes
    if changes != SchemaChanges():
        _log.warning("schema_differs", table=str(request.target), **asdict(changes))
    return changes
