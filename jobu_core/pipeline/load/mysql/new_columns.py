"""Columns that a file has and its MySQL table has not yet: added before the load.

MySQL commits an ALTER TABLE at once. A load that fails afterwards leaves the new
columns, empty and nullable, and its next attempt finds them there.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog
from pymysql import err

from jobu_core.crash_points import reach
from jobu_core.pipeline.load.mysql.columns import compare_columns, read_columns
from jobu_core.pipeline.load.mysql.failures import COLUMN_EXISTS, number_of
from jobu_core.pipeline.load.mysql.tables import add_column
from jobu_core.pipeline.load.request import SchemaChanges

if TYPE_CHECKING:
    from jobu_core.pipeline.load.contract import Comparison
    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.mysql.columns import ColumnPlan
    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.load.request import LoadRequest
    from jobu_core.pipeline.load.source import Source

_log = structlog.get_logger(__name__)


def compare(
    session: Session, request: LoadRequest, source: Source, name: TableName
) -> Comparison[ColumnPlan]:
    """Hold the source's columns against those of a table as they are now."""
    there = read_columns(session, name)
    return compare_columns(source.schema, source.nulls, there, request.policy)


def settle_columns(session: Session, request: LoadRequest, source: Source) -> SchemaChanges:
    """Let the table have the source's new columns, if the request says so.

    Raises SchemaMismatch with every difference that the policy does not allow; then
    nothing was added.
    """
    found = compare(session, request, source, request.target)
    found.insist(str(request.target))
    for column in found.agreement.new:
        try:
            add_column(session, request.target, column)
        except err.Error as error:
            if number_of(error) != COLUMN_EXISTS:
                raise  # else another load has just added it
        reach("mysql_load.column_added")
    changes = found.agreement.changes
    if changes != SchemaChanges():
        _log.warning("schema_differs", table=str(request.target), **asdict(changes))
    return changes
