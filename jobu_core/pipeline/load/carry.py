"""What a table has beyond columns and rows, put onto the table that takes its place.

``CREATE TABLE … (LIKE … INCLUDING ALL)`` copies much, but gives new names to
indexes and identity sequences, starts those anew, and forgets comments, grants,
triggers and who owns a serial's sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString

from psycopg import sql
from psycopg.rows import class_row

from jobu_core.pipeline.load.session import one

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from jobu_core.pipeline.load.identifiers import TableName

_INDEXES: Final[LiteralString] = """
SELECT c.relname AS name,
       concat_ws(' | ', i.indisunique, i.indisprimary, k.contype,
           right(pg_get_indexdef(c.oid), -length(
               'CREATE ' || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || 'INDEX '
               || quote_ident(c.relname) || ' ON ' || quote_ident(n.nspname) || '.'
               || quote_ident(t.relname)))) AS shape
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
LEFT JOIN pg_constraint AS k ON k.conindid = c.oid AND k.conrelid = t.oid
WHERE i.indrelid = %(table)s
ORDER BY shape, c.oid
"""
_SEQUENCES: Final[LiteralString] = """
SELECT a.attname AS column, n.nspname AS schema, s.relname AS name,
       d.deptype = 'i' AS identity, q.seqincrement > 0 AS ascending
FROM pg_depend AS d
JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_namespace AS n ON n.oid = s.relnamespace
JOIN pg_sequence AS q ON q.seqrelid = s.oid
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
  AND d.refobjid = %(table)s AND d.deptype IN ('a', 'i')
ORDER BY a.attname, s.relname
"""
_TRIGGERS: Final[LiteralString] = """
SELECT tgname AS name, pg_get_triggerdef(oid) AS definition, tgenabled::text AS enabled,
       obj_description(oid, 'pg_trigger') AS comment
FROM pg_trigger WHERE tgrelid = %(table)s AND NOT tgisinternal
ORDER BY tgname
"""
_COMMENTS: Final[LiteralString] = """
SELECT NULL AS constraint_name, obj_description(%(table)s, 'pg_class') AS said
UNION ALL
SELECT conname, obj_description(oid, 'pg_constraint')
FROM pg_constraint WHERE conrelid = %(table)s
"""
_GRANTS: Final[LiteralString] = """
SELECT g.on_column, nullif(g.grantee, 0) IS NULL AS public, r.rolname AS role,
       g.privilege_type AS privilege, g.is_grantable AS grantable
FROM (
    SELECT NULL AS on_column, e.*
    FROM pg_class AS c
    CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS e
    WHERE c.oid = %(table)s
    UNION ALL
    SELECT a.attname, e.*
    FROM pg_attribute AS a CROSS JOIN LATERAL aclexplode(a.attacl) AS e
    WHERE a.attrelid = %(table)s AND NOT a.attisdropped
) AS g LEFT JOIN pg_roles AS r ON r.oid = g.grantee
ORDER BY 1, 2, 3, 4
"""
_PRIVILEGES: Final[dict[str, sql.SQL]] = {
    name: sql.SQL(name)
    for name in (
        *("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"),
        "MAINTAIN",
    )
}
_FIRES: Final[dict[str, sql.SQL]] = {
    "D": sql.SQL("DISABLE TRIGGER"),
    "R": sql.SQL("ENABLE REPLICA TRIGGER"),
    "A": sql.SQL("ENABLE ALWAYS TRIGGER"),
}


@dataclass(frozen=True, slots=True)
class Index:
    """An index and all that makes it this one but its name."""

    name: str
    shape: str


@dataclass(frozen=True, slots=True)
class OwnedSequence:
    """A sequence that belongs to a column: of an identity, or a serial's."""

    column: str
    schema: str
    name: str
    identity: bool
    ascending: bool

    @property
    def quoted(self) -> sql.Identifier:
        """The name for a statement."""
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger with the statement that makes it."""

    name: str
    definition: str
    enabled: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege on the table, or on one of its columns."""

    on_column: str | None
    public: bool
    role: str | None
    privilege: str
    grantable: bool


@dataclass(frozen=True, slots=True)
class Belongings:
    """What has to be put onto the new table, read while the old one is there."""

    indexes: tuple[Index, ...]
    sequences: tuple[OwnedSequence, ...]
    triggers: tuple[Trigger, ...]
    comments: tuple[tuple[str | None, str], ...]
    """(constraint or None for the table itself, text)."""
    grants: tuple[Grant, ...]


def read_belongings(connection: psycopg.Connection, table: int) -> Belongings:
    """Read what the table with that oid has."""
    said = connection.execute(_COMMENTS, {"table": table}).fetchall()
    return Belongings(
        indexes=_read(connection, Index, _INDEXES, table),
        sequences=_read(connection, OwnedSequence, _SEQUENCES, table),
        triggers=_read(connection, Trigger, _TRIGGERS, table),
        comments=tuple((name, text) for name, text in said if text is not None),
        grants=_read(connection, Grant, _GRANTS, table),
    )


def _read(connection: psycopg.Connection, kind: type[Any], query: LiteralString, table: int) -> Any:  # noqa: ANN401 - a tuple of ``kind``
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return tuple(cursor.execute(query, {"table": table}).fetchall())


def continue_identities(
    connection: psycopg.Connection,
    old: Sequence[OwnedSequence],
    new: Sequence[OwnedSequence],
) -> None:
    """Let the new identity sequences go on where the old ones, or they, got to."""
    by_column = {sequence.column: sequence for sequence in new if sequence.identity}
    for sequence in old:
        if not sequence.identity:
            continue
        twin = by_column[sequence.column]
        reached, mine = _position(connection, sequence), _position(connection, twin)
        furthest = max(reached, mine) if sequence.ascending else min(reached, mine)
        was_used = mine[1]
        last, called = furthest if was_used else reached
        connection.execute(
            "SELECT setval(%s::regclass, %s, %s)",
            (twin.quoted.as_string(connection), last, called),
        )


def _position(connection: psycopg.Connection, sequence: OwnedSequence) -> tuple[int, bool]:
    last, called = one(
        connection,
        sql.SQL("SELECT last_value, is_called FROM {}").format(sequence.quoted),
    )
    return int(last), bool(called)


def own_serials(
    connection: psycopg.Connection,
    target: TableName,
    sequences: Sequence[OwnedSequence],
) -> None:
    """Give the serials' sequences to the new table before the old one is dropped."""
    for sequence in sequences:
        if not sequence.identity:
            connection.execute(
                sql.SQL("ALTER SEQUENCE {} OWNED BY {}").format(
                    sequence.quoted,
                    sql.Identifier(target.schema, target.table, sequence.column),
                ),
            )


def take_names(
    connection: psycopg.Connection,
    target: TableName,
    old: Belongings,
    new: Belongings,
) -> None:
    """Rename indexes (with their constraints) and identity sequences as they were."""
    for was, now in zip(old.indexes, new.indexes, strict=True):
        if was.name != now.name:
            connection.execute(
                sql.SQL("ALTER INDEX {} RENAME TO {}").format(
                    target.beside(now.name).quoted,
                    sql.Identifier(was.name),
                ),
            )
    by_column = {sequence.column: sequence for sequence in new.sequences if sequence.identity}
    for sequence in old.sequences:
        twin = by_column.get(sequence.column)
        if sequence.identity and twin is not None and twin.name != sequence.name:
            connection.execute(
                sql.SQL("ALTER SEQUENCE {} RENAME TO {}").format(
                    twin.quoted,
                    sql.Identifier(sequence.name),
                ),
            )


def put_on(connection: psycopg.Connection, target: TableName, old: Belongings) -> None:
    """Make the triggers and comments of the old table on the new one."""
    for trigger in old.triggers:
        connection.execute(trigger.definition.encode())  # the server's own words
        name = sql.Identifier(trigger.name)
        if trigger.enabled in _FIRES:
            connection.execute(
                sql.SQL("ALTER TABLE {} {} {}").format(
                    target.quoted, _FIRES[trigger.enabled], name
                ),
            )
        if trigger.comment is not None:
            connection.execute(
                sql.SQL("COMMENT ON TRIGGER {} ON {} IS {}").format(
                    name, target.quoted, sql.Literal(trigger.comment)
                ),
            )
    for constraint, text in old.comments:
        what = (
            sql.SQL("TABLE {}").format(target.quoted)
            if constraint is None
            else sql.SQL("CONSTRAINT {} ON {}").format(sql.Identifier(constraint), target.quoted)
        )
        connection.execute(sql.SQL("COMMENT ON {} IS {}").format(what, sql.Literal(text)))


def regrant(
    connection: psycopg.Connection,
    target: TableName,
    wanted: Sequence[Grant],
    given: Sequence[Grant],
) -> None:
    """Leave exactly the wanted privileges; default privileges may have given others."""
    if set(wanted) == set(given):
        return
    for grantee in {(grant.public, grant.role) for grant in (*given, *wanted)}:
        connection.execute(
            sql.SQL("REVOKE ALL ON TABLE {} FROM {}").format(target.quoted, _role(*grantee)),
        )
    for grant in wanted:
        if grant.privilege not in _PRIVILEGES:
            continue  # a newer server's; the comparison of portraits will tell
        on_column = (
            sql.SQL("")
            if grant.on_column is None
            else sql.SQL(" ({})").format(sql.Identifier(grant.on_column))
        )
        connection.execute(
            sql.SQL("GRANT {}{} ON TABLE {} TO {}{}").format(
                _PRIVILEGES[grant.privilege],
                on_column,
                target.quoted,
                _role(grant.public, grant.role),
                sql.SQL(" WITH GRANT OPTION" if grant.grantable else ""),
            ),
        )


def _role(public: bool, name: str | None) -> sql.Composable:
    return sql.SQL("PUBLIC") if public or name is None else sql.Identifier(name)
