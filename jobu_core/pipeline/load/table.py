"""The target table itself: found, judged, made when it is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

from psycopg import sql
from psycopg.rows import class_row

from jobu_core.errors import LoadRefused, SchemaMismatch
from jobu_core.pipeline.load.identifiers import column, is_store_table, reserved
from jobu_core.pipeline.load.keys import refuse_unknown_keys
from jobu_core.pipeline.load.session import one
from jobu_core.pipeline.types import columns_of_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg
    import pyarrow as pa

    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.types import Column

_FIND: Final[LiteralString] = """
SELECT c.oid::bigint AS oid, c.relkind::text AS kind, c.relpersistence::text AS persistence
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s
"""
_STORE_HERE: Final[LiteralString] = """
SELECT EXISTS (
    SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname = 'jobu_meta' AND c.relkind = 'r'
      AND (n.nspname = %(schema)s OR %(schema)s = 'dagster')
)
"""
_SCHEMA_EXISTS: Final[LiteralString] = (
    "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %(schema)s)"
)
_KINDS: Final = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
    "I": "an index",
    "c": "a composite type",
    "t": "a TOAST table",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table that may be loaded."""

    oid: int
    kind: str
    """``r`` ordinary, ``p`` partitioned."""
    persistence: str
    """``p`` permanent, ``u`` unlogged."""

    @property
    def partitioned(self) -> bool:
        """Whether its rows lie in partitions."""
        return self.kind == "p"


def refuse_reserved(connection: psycopg.Connection, target: TableName) -> None:
    """Raise LoadRefused for tables of PostgreSQL, of jobu and of Dagster.

    The job store is recognised by what is in the database, whatever name the
    configuration gives it.
    """
    why = reserved(target)
    if why is None and is_store_table(target):
        (store,) = one(connection, _STORE_HERE, {"schema": target.schema})
        why = f"{target.in_database} belongs to jobu's job store" if store else None
    if why is not None:
        raise LoadRefused(f"{target} can never be a target: {why}")


def find_table(connection: psycopg.Connection, target: TableName) -> Table | None:
    """Return the table, or None; raises LoadRefused when the name is no table's."""
    with connection.cursor(row_factory=class_row(Table)) as cursor:
        found = cursor.execute(_FIND, {"schema": target.schema, "table": target.table}).fetchone()
    if found is not None and found.kind not in {"r", "p"}:
        raise LoadRefused(f"{target} is {_KINDS.get(found.kind, 'no table')}, not a table")
    return found


def require_table(connection: psycopg.Connection, target: TableName) -> Table:
    """Return the table; raises SchemaMismatch when it does not exist."""
    found = find_table(connection, target)
    if found is None:
        raise SchemaMismatch(f"table {target} does not exist; create it, or load with create: true")
    return found


def create_table(
    connection: psycopg.Connection,
    target: TableName,
    schema: pa.Schema,
    *,
    keys: Sequence[str] = (),
) -> None:
    """Create the table with the columns of a Parquet schema, ``keys`` as primary key.

    The caller holds the target's advisory lock. Raises SchemaMismatch when a column
    has no type in PostgreSQL or the schema does not exist.
    """
    require_schema(connection, target)
    columns = columns_of_schema(schema)
    if not columns:
        raise SchemaMismatch(f"{target}: the file has no columns to create a table from")
    refuse_unknown_keys(keys, target, file=[each.name for each in columns], table=None)
    connection.execute(create_statement(target, columns, keys=keys))


def require_schema(connection: psycopg.Connection, target: TableName) -> None:
    """Raise SchemaMismatch when the target's schema does not exist."""
    (exists,) = one(connection, _SCHEMA_EXISTS, {"schema": target.schema})
    if not exists:
        raise SchemaMismatch(f"{target}: there is no schema {target.schema!r} in the database")


def create_statement(
    target: TableName, columns: Iterable[Column], *, keys: Sequence[str] = ()
) -> sql.Composed:
    """Return the statement that creates a table with these columns, ``keys`` as primary key."""
    definitions = [
        sql.SQL("{} {}{}").format(
            column(found.name),
            type_of(found),
            sql.SQL("" if found.nullable else " NOT NULL"),
        )
        for found in columns
    ]
    if keys:
        named = sql.SQL(", ").join(map(column, keys))
        definitions.append(sql.SQL("PRIMARY KEY ({})").format(named))
    inside = sql.SQL(",\n    ").join(definitions)
    return sql.SQL("CREATE TABLE {} (\n    {}\n)").format(target.quoted, inside)


def add_columns(
    connection: psycopg.Connection, target: TableName, columns: Sequence[Column]
) -> None:
    """Let the table have these columns too, nullable; the caller holds its lock."""
    added = [
        sql.SQL("ADD COLUMN {} {}").format(column(each.name), type_of(each)) for each in columns
    ]
    connection.execute(
        sql.SQL("ALTER TABLE {} {}").format(target.quoted, sql.SQL(", ").join(added))
    )


def type_of(found: Column) -> sql.Composable:
    """Return a column's type for a statement."""
    return _TYPES.get(found.type.postgres) or _numeric(found.type.postgres)


_TYPES: Final[dict[str, sql.SQL]] = {
    name: sql.SQL(name)
    for name in (
        *("bigint", "double precision", "boolean", "text", "bytea", "date", "time"),
        *("timestamp", "timestamptz", "interval", "uuid", "jsonb"),
    )
}


def _numeric(shown: str) -> sql.Composed:
    """Return ``numeric(p,s)`` from its parts, so that no text is taken as it is."""
    digits, places = shown.removeprefix("numeric(").removesuffix(")").split(",")
    return sql.SQL("numeric({}, {})").format(int(digits), int(places))
