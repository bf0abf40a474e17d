"""The target table itself: found, judged, made when it is missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

from jobu_core.errors import LoadRefused, SchemaMismatch
from jobu_core.pipeline.load.identifiers import reserved
from jobu_core.pipeline.load.mysql.statements import Sql, composed, joined, quoted
from jobu_core.pipeline.load.mysql.statements import table as table_name
from jobu_core.pipeline.types import columns_of_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.types import Column, ColumnType

_SYSTEM: Final = frozenset({"mysql", "performance_schema", "sys", "information_schema"})
_FIND: Final[LiteralString] = """
SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES
WHERE TABLE_SCHEMA = %(schema)s AND TABLE_NAME = %(table)s
"""
_SCHEMA: Final[LiteralString] = """
SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %(schema)s
"""
_TRIGGERS: Final[LiteralString] = """
SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS
WHERE EVENT_OBJECT_SCHEMA = %(schema)s AND EVENT_OBJECT_TABLE = %(table)s ORDER BY TRIGGER_NAME
"""
_CHILDREN: Final[LiteralString] = """
SELECT REFERENCED_TABLE_NAME, CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, DELETE_RULE
FROM information_schema.REFERENTIAL_CONSTRAINTS
WHERE UNIQUE_CONSTRAINT_SCHEMA = %(schema)s AND REFERENCED_TABLE_NAME = %(table)s
ORDER BY CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME
"""
_AUTO_INCREMENT: Final = re.compile(r" AUTO_INCREMENT=(\d+)")
_KEY_CHARACTERS: Final = 255
"""Of a text in a key: InnoDB's index takes no LONGTEXT."""
_MAX_PLACES: Final = 30
_TYPES: Final[dict[str, LiteralString]] = {
    "bigint": "bigint",
    "double": "double",
    "tinyint(1)": "tinyint(1)",
    "longtext": "longtext",
    "longblob": "longblob",
    "date": "date",
    "time(6)": "time(6)",
    "datetime(6)": "datetime(6)",
    "timestamp(6)": "timestamp(6)",
    "char(36)": "char(36) CHARACTER SET ascii COLLATE ascii_bin",
    "json": "json",
}


@dataclass(frozen=True, slots=True)
class Child:
    """A foreign key of another table that points at the target."""

    name: str
    """``schema.table.constraint``."""
    changes: bool
    """Whether deleting a row of the target changes rows there."""


def refuse_reserved(session: Session, target: TableName) -> None:
    """Raise LoadRefused for tables of the server and of jobu, and for names it would fold."""
    why = reserved(target)
    if why is None and target.schema.lower() in _SYSTEM:
        why = f"{target.in_database} belongs to the server"
    if why is not None:
        raise LoadRefused(f"{target} can never be a target: {why}")
    folded = target.table.lower(), target.schema.lower()
    if session.server.folds_names and folded != (target.table, target.schema):
        raise LoadRefused(f"{target}: this server keeps names in lower case; write them so")


def find_table(session: Session, target: TableName) -> bool:
    """Whether the table exists; raises LoadRefused when the name is no InnoDB table's."""
    key = {"schema": target.schema, "table": target.table}
    for schema, name, kind, engine in session.rows(_FIND, key):
        if (schema, name) != (target.schema, target.table):
            continue  # another case or accent: another table
        if kind not in {"BASE TABLE", "SYSTEM VERSIONED"}:
            raise LoadRefused(f"{target} is {_article(str(kind))}, not a table")
        if engine != "InnoDB":
            raise LoadRefused(
                f"{target} is kept by {engine}, which cannot roll back; "
                "only InnoDB tables are loaded (ALTER TABLE … ENGINE=InnoDB)"
            )
        return True
    return False


def require_table(session: Session, target: TableName) -> None:
    """Raise SchemaMismatch when the table does not exist."""
    if not find_table(session, target):
        require_schema(session, target)
        raise SchemaMismatch(f"table {target} does not exist; create it, or load with create: true")


def create_table(
    session: Session,
    name: TableName,
    schema: pa.Schema,
    *,
    keys: tuple[str, ...] = (),
) -> None:
    """Create a table with the columns of a Parquet schema, ``keys`` as primary key.

    Raises SchemaMismatch when a column has no type in MySQL or the schema does not
    exist.
    """
    require_schema(session, name)
    columns = columns_of_schema(schema)
    if not columns:
        raise SchemaMismatch(f"{name}: the file has no columns to create a table from")
    missing = sorted(set(keys) - {column.name for column in columns})
    if missing:
        raise SchemaMismatch(f"{name}: keys not in the file: {', '.join(missing)}")
    session.run("{statement}", statement=create_statement(name, columns, keys=keys))


def create_statement(
    name: TableName, columns: Iterable[Column], *, keys: tuple[str, ...] = ()
) -> Sql:
    """Return the statement that creates a table with these columns, ``keys`` as primary key."""
    definitions = [
        composed(
            "{name} {type} {null}",
            name=quoted(column.name),
            type=_definition(column.name, column.type, in_key=column.name in keys),
            null=Sql("NULL" if column.nullable and column.name not in keys else "NOT NULL"),
        )
        for column in columns
    ]
    if keys:
        definitions.append(composed("PRIMARY KEY ({keys})", keys=joined(map(quoted, keys))))
    return composed(
        "CREATE TABLE {table} (\n    {columns}\n) ENGINE=InnoDB ROW_FORMAT=DYNAMIC "
        "DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        table=table_name(name),
        columns=joined(definitions, ",\n    "),
    )


def definition_of(session: Session, name: TableName) -> str:
    """Return what SHOW CREATE TABLE says, without the name and the next number."""
    _, text = session.one("SHOW CREATE TABLE {table}", table=table_name(name))
    _, found, rest = str(text).partition(f"{quoted(name.table).text} (")
    if not found:
        raise LoadRefused(f"{name}: the server does not tell how the table is made")
    return _AUTO_INCREMENT.sub("", rest)


def next_number(session: Session, name: TableName) -> int | None:
    """Return the table's next AUTO_INCREMENT number; None without such a column."""
    _, text = session.one("SHOW CREATE TABLE {table}", table=table_name(name))
    found = _AUTO_INCREMENT.search(str(text).rpartition("\n)")[2])
    return None if found is None else int(found[1])


def count_rows(session: Session, name: TableName) -> int:
    """Return how many rows a table holds."""
    (found,) = session.one("SELECT count(*) FROM {table}", table=table_name(name))
    return int(found)


def triggers_of(session: Session, target: TableName) -> tuple[str, ...]:
    """Return the table's triggers."""
    found = session.rows(_TRIGGERS, {"schema": target.schema, "table": target.table})
    return tuple(str(trigger) for table, trigger in found if table == target.table)


def children_of(session: Session, target: TableName) -> tuple[Child, ...]:
    """Return the foreign keys that point at the table from others, as far as we may see."""
    found = session.rows(_CHILDREN, {"schema": target.schema, "table": target.table})
    return tuple(
        Child(f"{schema}.{table}.{name}", rule not in {"RESTRICT", "NO ACTION"})
        for parent, schema, table, name, rule in found
        if parent == target.table and (schema, table) != (target.schema, target.table)
    )


def require_schema(session: Session, target: TableName) -> None:
    """Raise SchemaMismatch when the target's schema, MySQL's database, does not exist."""
    names = session.rows(_SCHEMA, {"schema": target.schema})
    if (target.schema,) not in names:
        raise SchemaMismatch(
            f"{target}: there is no database {target.schema!r} on the server; in MySQL the middle "
            f"part names it: {target.database}.{session.schema}.{target.table}?"
        )


def _definition(name: str, kind: ColumnType, *, in_key: bool) -> Sql:
    known = _TYPES.get(kind.mysql)
    if in_key and kind.mysql == "longtext":
        return Sql(f"varchar({_KEY_CHARACTERS})")
    if known is not None:
        return Sql(known)
    digits, places = map(int, kind.mysql.removeprefix("decimal(").removesuffix(")").split(","))
    if places > _MAX_PLACES:
        raise SchemaMismatch(
            f"{name}: {kind.name} has {places} decimal places; MySQL keeps at most {_MAX_PLACES}"
        )
    return Sql(f"decimal({digits},{places})")


def _article(kind: str) -> str:
    return f"{'an' if kind[:1] in 'AEIOU' else 'a'} {kind.lower()}"
