"""Upsert into PostgreSQL: rows go to a temporary table, then join or change the target's.

COPY knows no ON CONFLICT. The temporary table lives in the load's own transaction and
ends with it, so that a killed load leaves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

from psycopg import sql

from jobu_core.crash_points import reach
from jobu_core.errors import LoadRefused, SchemaMismatch
from jobu_core.pipeline.load.identifiers import TableName, column
from jobu_core.pipeline.load.keys import insist_on_keys, refuse_null_keys, refuse_unknown_keys
from jobu_core.pipeline.load.request import Merged
from jobu_core.pipeline.load.rows import copy_rows
from jobu_core.pipeline.load.session import one

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from jobu_core.pipeline.load.columns import ColumnPlan, TargetColumn
    from jobu_core.pipeline.load.source import Source
    from jobu_core.pipeline.load.table import Table

_STAGE: Final = "jobu_upsert"
"""A temporary table is its session's alone, so one name does."""
_ORDER: Final = "jobu_order"
_UNIQUE: Final[LiteralString] = """
SELECT array_agg(a.attname::text)
FROM pg_index AS i
JOIN LATERAL unnest(i.indkey::int2[], i.indcollation::oid[]) WITH ORDINALITY
     AS k (attnum, collation_id, place) ON place <= i.indnkeyatts
LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = %(table)s AND i.indisunique AND i.indimmediate AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid
HAVING bool_and(k.collation_id = a.attcollation)
"""
_STAGED: Final[LiteralString] = """
CREATE TEMPORARY TABLE {stage} ON COMMIT DROP AS SELECT {columns} FROM {target} WITH NO DATA
"""
_NUMBERED: Final[LiteralString] = """
ALTER TABLE {stage} ADD COLUMN {order} bigint GENERATED ALWAYS AS IDENTITY (CACHE 10000)
"""
_MERGE: Final[LiteralString] = """
WITH winners AS MATERIALIZED (
    SELECT DISTINCT ON ({keys}) {columns} FROM {stage} ORDER BY {keys}, {order} DESC
), landed AS (
    INSERT INTO {target} ({columns}) SELECT {columns} FROM winners
    ON CONFLICT ({keys}) {otherwise}
    RETURNING {is_new} AS is_new
)
SELECT (SELECT count(*) FROM winners), count(*), count(*) FILTER (WHERE is_new) FROM landed
"""


def check_keys(
    connection: psycopg.Connection,
    target: TableName,
    table: Table,
    there: Sequence[TargetColumn],
    *,
    keys: Sequence[str],
    file: Sequence[str],
) -> None:
    """Raise LoadRefused or SchemaMismatch unless rows can be told apart by ``keys``.

    Needed is a unique index on exactly these columns that ON CONFLICT can use: valid,
    immediate, without a condition, and with the columns' own collations, which also
    decide what is the same key within the file.
    """
    insist_on_keys(keys, target)
    refuse_unknown_keys(keys, target, file=file, table=[each.name for each in there])
    rows = connection.execute(_UNIQUE, {"table": table.oid}).fetchall()
    if any(set(found) == set(keys) for (found,) in rows):
        return
    statement = sql.SQL("CREATE UNIQUE INDEX ON {} ({})").format(target.quoted, _names(keys))
    raise SchemaMismatch(
        f"{target}: upsert needs a unique index on exactly its keys, not partial and not "
        f"deferrable: {statement.as_string(None)}"
    )


def stage_rows(
    connection: psycopg.Connection,
    target: TableName,
    source: Source,
    plans: Sequence[ColumnPlan],
    keys: Sequence[str],
) -> TableName:
    """Fill the temporary table in file order and return its name.

    Raises DataError when a key is null.
    """
    refuse_null_keys(keys, source.nulls, target)
    stage = TableName(target.database, "pg_temp", _STAGE)
    names = [plan.name for plan in plans]
    connection.execute(
        sql.SQL(_STAGED).format(
            stage=sql.Identifier(_STAGE), columns=_names(names), target=target.quoted
        )
    )
    connection.execute(
        sql.SQL(_NUMBERED).format(stage=stage.quoted, order=sql.Identifier(_order(names)))
    )
    reach("upsert.staging_made")
    sent = copy_rows(connection, stage, source, plans)
    reach("upsert.staged")
    nulls = one(
        connection,
        sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(sql.SQL("count(*) - count({})").format(column(key)) for key in keys),
            stage.quoted,
        ),
    )
    refuse_null_keys(keys, dict(zip(keys, nulls, strict=True)), target)
    expected = source.known().rows
    if sent != expected:
        raise LoadRefused(f"{target}: {expected} rows in the file, {sent} were staged")
    return stage


def merge(
    connection: psycopg.Connection,
    target: TableName,
    table: Table,
    stage: TableName,
    *,
    plans: Sequence[ColumnPlan],
    keys: Sequence[str],
) -> tuple[int, Merged]:
    """Let the staged rows join the target's or change them; return how many keys they had.

    Of rows with the same keys the last one of the file wins. Columns that are not in
    the file keep their values. Raises LoadRefused when a trigger or rule of the table
    kept rows back.
    """
    names = [plan.name for plan in plans]
    changed = [name for name in names if name not in keys]
    assigned = sql.SQL(", ").join(
        sql.SQL("{0} = EXCLUDED.{0}").format(column(name)) for name in changed
    )
    otherwise = sql.SQL("DO UPDATE SET {}").format(assigned) if changed else sql.SQL("DO NOTHING")
    # of a partition that is laid out differently, no system column can be returned
    countable = not (table.partitioned and changed)
    distinct, landed, new = one(
        connection,
        sql.SQL(_MERGE).format(
            keys=_names(keys),
            columns=_names(names),
            stage=stage.quoted,
            order=sql.Identifier(_order(names)),
            target=target.quoted,
            otherwise=otherwise,
            is_new=sql.SQL("xmax = 0" if countable and changed else "true"),
        ),
    )
    reach("upsert.merged")
    if changed and landed != distinct:
        raise LoadRefused(
            f"{target}: {distinct} keys in the file, {landed} rows inserted or updated; "
            "does a trigger or a rule of the table drop rows?"
        )
    return int(distinct), Merged(int(new), int(landed - new)) if countable else Merged(None, None)


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(column, names))


def _order(names: Sequence[str]) -> str:
    """Return the name of the column that keeps the file's order; none of the file's."""
    return next(
        name
        for at in range(len(names) + 1)
        if (name := f"{_ORDER}_{at}" if at else _ORDER) not in names
    )
