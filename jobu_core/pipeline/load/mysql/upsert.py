"""Upsert: rows go to a temporary table, then change or join those of the target.

``ON DUPLICATE KEY UPDATE`` would be shorter, but it takes any unique index for the
keys, and so changes a row that merely has the same e-mail address.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, LiteralString

from pymysql import err

from jobu_core.crash_points import reach
from jobu_core.errors import LoadRefused, SchemaMismatch, TargetBusy
from jobu_core.pipeline.load.mysql.failures import duplicate_of
from jobu_core.pipeline.load.mysql.rows import OnDuplicate, send_rows
from jobu_core.pipeline.load.mysql.statements import composed, joined, quoted
from jobu_core.pipeline.load.mysql.statements import table as table_name
from jobu_core.pipeline.load.mysql.tables import count_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.mysql.columns import ColumnPlan
    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.load.mysql.statements import Sql
    from jobu_core.pipeline.load.source import Source

_STAGE: Final = "jobu_upsert"
"""A temporary table is its connection's alone, so one name does."""
_INDEXES: Final[LiteralString] = """
SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART
FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %(schema)s AND TABLE_NAME = %(table)s AND NON_UNIQUE = 0
ORDER BY INDEX_NAME, SEQ_IN_INDEX
"""
_MAKE_STAGE: Final[LiteralString] = """
CREATE TEMPORARY TABLE {stage} (UNIQUE KEY ({keys})) ENGINE=InnoDB
SELECT {columns} FROM {target} LIMIT 0
"""
_CHANGE: Final[LiteralString] = """
UPDATE {target} AS t JOIN {stage} AS s ON {same} SET {assigned}
"""
_COUNT_SAME: Final[LiteralString] = """
SELECT count(*) FROM {target} AS t JOIN {stage} AS s ON {same} FOR UPDATE
"""
"""It waits for those who are writing such rows, and keeps them as they are."""
_ADD: Final[LiteralString] = """
INSERT INTO {target} ({columns})
SELECT {staged} FROM {stage} AS s LEFT JOIN {target} AS t ON {same} WHERE {absent} IS NULL
"""


def check_keys(session: Session, target: TableName, keys: Sequence[str]) -> frozenset[str]:
    """Return the unique indexes on exactly these columns, whole; SchemaMismatch without one."""
    found: dict[str, list[tuple[str, int | None]]] = {}
    key = {"schema": target.schema, "table": target.table}
    for schema, name, index, column, part in session.rows(_INDEXES, key):
        if (schema, name) == (target.schema, target.table):
            found.setdefault(index, []).append((column, part))
    wanted = {(column, None) for column in keys}
    indexes = frozenset(name for name, columns in found.items() if set(columns) == wanted)
    if not indexes:
        raise SchemaMismatch(
            f"{target}: upsert needs a unique index on exactly ({', '.join(keys)}), "
            "on whole columns"
        )
    return indexes


def stage_rows(
    session: Session,
    target: TableName,
    source: Source,
    plans: Sequence[ColumnPlan],
    keys: Sequence[str],
) -> int:
    """Fill the temporary table; of rows with the same keys the last stays. Return how many.

    What is the same, the target's own collations say. Raises SchemaMismatch when a key is
    not in the file, DataError when a key is null.
    """
    missing = sorted(set(keys) - {plan.name for plan in plans})
    if missing:
        raise SchemaMismatch(f"{target}: keys not in the file: {', '.join(missing)}")
    stage = target.beside(_STAGE)
    session.run("DROP TEMPORARY TABLE IF EXISTS {stage}", stage=table_name(stage))
    session.run(
        _MAKE_STAGE,
        stage=table_name(stage),
        keys=joined(map(quoted, keys)),
        columns=joined(quoted(plan.name) for plan in plans),
        target=table_name(target),
    )
    known = [replace(plan, required=plan.required or plan.name in keys) for plan in plans]
    send_rows(session, stage, source, known, OnDuplicate.REPLACE)
    reach("mysql_upsert.staged")
    return count_rows(session, stage)


def merge(
    session: Session,
    target: TableName,
    plans: Sequence[ColumnPlan],
    keys: Sequence[str],
    indexes: frozenset[str],
) -> int:
    """Change the rows that are there and add the others; return how many both were.

    ``indexes`` are those of the keys. Raises TargetBusy when somebody else has just
    added a row with the same keys.
    """
    stage, table = table_name(target.beside(_STAGE)), table_name(target)
    same = joined((_pair(name) for name in keys), " AND ")
    changed = [_pair(plan.name) for plan in plans if plan.name not in keys]
    (matched,) = session.one(_COUNT_SAME, target=table, stage=stage, same=same)
    reach("mysql_upsert.matched")
    if changed:
        session.run(_CHANGE, target=table, stage=stage, same=same, assigned=joined(changed))
        reach("mysql_upsert.changed")
    try:
        added = session.run(
            _ADD,
            target=table,
            stage=stage,
            same=same,
            columns=joined(quoted(plan.name) for plan in plans),
            staged=joined(composed("s.{name}", name=quoted(plan.name)) for plan in plans),
            absent=composed("t.{name}", name=quoted(keys[0])),
        )
    except err.IntegrityError as error:
        if duplicate_of(error, target.table) in indexes:
            raise came_meanwhile(target) from None
        raise
    reach("mysql_upsert.added")
    return int(matched) + added


def came_meanwhile(target: TableName) -> TargetBusy:
    """Return what is raised when others write the same keys at the same time."""
    return TargetBusy(f"{target}: rows with the same keys came or went while they were merged")


def insist_on_keys(keys: Sequence[str], target: TableName) -> None:
    """Raise LoadRefused when an upsert was asked for without keys."""
    if not keys:
        raise LoadRefused(f"{target}: mode upsert needs keys")


def _pair(name: str) -> Sql:
    """Return ``t.name = s.name``, a comparison as well as an assignment."""
    return composed("t.{name} = s.{name}", name=quoted(name))
