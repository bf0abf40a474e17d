"""Names of tables and columns: parsed once, compared exactly, quoted always.

A name is what PostgreSQL stores: case counts, nothing is folded, and more than 63
bytes are refused because the server would cut them and let two names collide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from psycopg import sql

from jobu_core.errors import InvalidParams
from jobu_core.store.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BYTES: Final = 63
"""NAMEDATALEN - 1 of every stock PostgreSQL."""

STORE_TABLES: Final = frozenset(table.name for table in metadata.sorted_tables)
STORE_DATABASE: Final = "default"
DAGSTER_SCHEMA: Final = "dagster"
OWN_PREFIX: Final = "jobu_"

_PART: Final = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^".]+?))\s*(\.|\Z)')
_PLAIN: Final = re.compile(r"[\w$]+")
_MAX_PARTS: Final = 3
_STORE_SCHEMAS: Final = frozenset({"public", DAGSTER_SCHEMA})
_STORE_VIEWS: Final = frozenset({"dispatch_ledger"})


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A table of one of the configured databases."""

    database: str
    schema: str
    table: str

    def __str__(self) -> str:
        """Return ``database.schema.table``, parts in double quotes where needed."""
        return ".".join(_shown(part) for part in (self.database, self.schema, self.table))

    @property
    def in_database(self) -> str:
        """``schema.table`` as text, for the manifest and messages."""
        return f"{_shown(self.schema)}.{_shown(self.table)}"

    @property
    def quoted(self) -> sql.Identifier:
        """The name for a statement."""
        return sql.Identifier(self.schema, self.table)

    def beside(self, table: str) -> TableName:
        """Return another table of the same schema."""
        return TableName(self.database, self.schema, checked(table))


def parse_table(text: str, *, database: str | None = None) -> TableName:
    """Read ``table``, ``schema.table`` or ``database.schema.table``.

    A part may stand in double quotes (``""`` inside for one). Missing parts are
    ``public`` and ``database``, else ``default``. Raises InvalidParams.
    """
    parts = _split(text)
    named = parts[0] if len(parts) == _MAX_PARTS else None
    if named is not None and database is not None and named != database:
        msg = f"table {text!r} is in database {named!r}, but target_db says {database!r}"
        raise InvalidParams(msg)
    schema = parts[-2] if len(parts) > 1 else "public"
    return TableName(named or database or STORE_DATABASE, checked(schema), checked(parts[-1]))


def checked(name: str) -> str:
    """Return ``name`` if PostgreSQL can hold it whole; raises InvalidParams."""
    size = len(name.encode("utf-8", "surrogatepass"))
    if not name or "\0" in name:
        msg = "a name of a table or column must not be empty or hold NUL"
        raise InvalidParams(msg)
    if size > MAX_BYTES:
        msg = f"the name {name!r} has {size} bytes; PostgreSQL keeps only {MAX_BYTES}"
        raise InvalidParams(msg)
    return name


def column(name: str) -> sql.Identifier:
    """Return a column's name for a statement."""
    return sql.Identifier(checked(name))


def is_allowed(target: TableName, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns ``db.schema.table`` (with ``*``) names ``target``.

    Matched part by part, so that ``*`` never reaches over a dot. Raises
    InvalidParams for a pattern that has not three parts.
    """
    parts = (target.database, target.schema, target.table)
    return any(
        all(
            fnmatchcase(part, wanted)
            for part, wanted in zip(parts, split_pattern(pattern), strict=True)
        )
        for pattern in patterns
    )


def split_pattern(pattern: str) -> list[str]:
    """Return the three parts of a ``free_tables`` pattern; raises InvalidParams."""
    parts = _split(pattern)
    if len(parts) != _MAX_PARTS:
        msg = f"{pattern!r} must be a pattern of the form database.schema.table"
        raise InvalidParams(msg)
    return parts


def reserved(target: TableName) -> str | None:
    """Return why ``target`` may never be loaded, or None.

    What only the database can tell (a job store under another name) is asked there.
    """
    if target.schema == "information_schema" or target.schema.startswith("pg_"):
        return f"{target.in_database} belongs to PostgreSQL"
    if target.table.lower().startswith(OWN_PREFIX):
        return f"{target.in_database}: names that begin with {OWN_PREFIX} are jobu's own"
    in_store = target.database == STORE_DATABASE and target.schema in _STORE_SCHEMAS
    if in_store and is_store_table(target):
        return f"{target.in_database} belongs to jobu's job store"
    return None


def is_store_table(target: TableName) -> bool:
    """Whether the name is one that a job store's database uses itself."""
    if target.schema == DAGSTER_SCHEMA:
        return True
    return target.table in STORE_TABLES or target.table in _STORE_VIEWS


def _split(text: str) -> list[str]:
    parts: list[str] = []
    at = 0
    while True:
        match = _PART.match(text, at)
        if match is None or len(parts) == _MAX_PARTS:
            msg = f"{text!r} is not a table name of the form database.schema.table"
            raise InvalidParams(msg)
        quoted, plain, end = match.groups()
        parts.append(quoted.replace('""', '"') if quoted is not None else plain)
        at = match.end()
        if end != ".":
            return parts


def _shown(part: str) -> str:
    if _PLAIN.fullmatch(part):
        return part
    escaped = part.replace('"', '""')
    return f'"{escaped}"'
