"""How many digits the target's numeric columns hold, for models that do not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.pipeline.load.columns import read_columns
from jobu_core.pipeline.load.engine import is_mysql
from jobu_core.pipeline.load.mysql import columns as mysql_columns
from jobu_core.pipeline.load.mysql import session as mysql_session
from jobu_core.pipeline.load.mysql import tables as mysql_tables
from jobu_core.pipeline.load.session import open_session
from jobu_core.pipeline.load.table import find_table
from jobu_core.pipeline.load.wire import precision_and_scale
from jobu_core.pipeline.types import MAX_DECIMAL_DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobu_core.pipeline.load.identifiers import TableName

Decimals = dict[str, tuple[int, int]]
"""Column → digits in all, and after the point."""


def read_decimals(url: str, target: TableName) -> Decimals:
    """Return the table's columns of a fixed number of digits; none without the table.

    Left out is what decimal128 does not hold: unbounded numbers, more than 38 digits,
    and roundings before the point. Raises TargetUnavailable when it cannot be asked.
    """
    return _fitting(_of_mysql(url, target) if is_mysql(url) else _of_postgres(url, target))


def _of_postgres(url: str, target: TableName) -> list[tuple[str, int | None, int | None]]:
    with open_session(url, target.database, "jobu:columns") as connection:
        table = find_table(connection, target)
        found = () if table is None else read_columns(connection, table.oid)
        return [
            (each.name, *precision_and_scale(each.type))
            for each in found
            if each.type_name == "numeric" and each.is_stock
        ]


def _of_mysql(url: str, target: TableName) -> list[tuple[str, int | None, int | None]]:
    with mysql_session.open_session(url, target.database) as session:
        there = mysql_tables.find_table(session, target)
        found = mysql_columns.read_columns(session, target) if there else ()
        return [
            (each.name, each.type.digits, each.type.places)
            for each in found
            if each.type.name == "decimal"
        ]


def _fitting(columns: Iterable[tuple[str, int | None, int | None]]) -> Decimals:
    return {
        name: (digits, places)
        for name, digits, places in columns
        if digits is not None and places is not None and 0 <= places <= digits <= MAX_DECIMAL_DIGITS
    }
