"""The statement that makes a table, as text for a person; nothing is executed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.pipeline.load import table
from jobu_core.pipeline.load.engine import is_mysql
from jobu_core.pipeline.load.mysql import tables as mysql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.types import Column


def create_table_text(url: str, target: TableName, columns: Sequence[Column]) -> str:
    """Return what a load with ``create: true`` would execute on the database of ``url``."""
    if is_mysql(url):
        return mysql.create_statement(target, columns).text + ";\n"
    return table.create_statement(target, columns).as_string(None) + ";\n"
