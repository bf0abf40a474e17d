"""A PostgreSQL target as ``jobu doctor`` sees it: nothing in it is changed.

Left-overs there are none to look for: a load is one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

from jobu_core.pipeline.load.health import Health, Problem
from jobu_core.pipeline.load.request import Mode
from jobu_core.pipeline.load.session import one, open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from jobu_core.pipeline.load.health import Wanted

_LEAST_VERSION: Final = 120_000
_FACTS: Final[LiteralString] = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int,
       current_setting('server_encoding'), pg_is_in_recovery()
"""
_RIGHTS: Final[LiteralString] = """
SELECT c.oid IS NOT NULL,
       coalesce(has_schema_privilege(n.oid, 'USAGE, CREATE')
                AND has_schema_privilege(n.oid, 'CREATE'), false),
       coalesce(array(SELECT wanted FROM unnest(%(rights)s::text[]) AS wanted
                      WHERE NOT has_table_privilege(c.oid, wanted)), '{}')
FROM (SELECT %(schema)s::text AS schema, %(table)s::text AS name) AS asked
LEFT JOIN pg_namespace AS n ON n.nspname = asked.schema
LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = asked.name
                       AND c.relkind IN ('r', 'p')
"""
_MANIFEST_RIGHTS: Final = ("SELECT", "INSERT", "UPDATE")
_TABLE_RIGHTS: Final = {
    Mode.APPEND: ("SELECT", "INSERT"),
    Mode.REPLACE: ("SELECT", "INSERT", "DELETE"),
    Mode.UPSERT: ("SELECT", "INSERT", "UPDATE"),
}


def examine(url: str, database: str, wanted: Sequence[Wanted]) -> Health:
    """Look at a target and at the tables that are loaded there.

    Raises TargetUnavailable when it cannot be reached, ConfigError for the URL.
    """
    with open_session(url, database, "jobu:doctor") as connection:
        version, number, encoding, recovering = one(connection, _FACTS)
        problems = [
            *_of_server(version, number, encoding, recovering=recovering),
            *_of_table(connection, "public", "jobu_loads", _MANIFEST_RIGHTS),
        ]
        for each in wanted:
            rights = _TABLE_RIGHTS[each.mode]
            problems += _of_table(connection, each.table.schema, each.table.table, rights)
        return Health(f"PostgreSQL {version}, {encoding}", tuple(problems))


def _of_server(version: str, number: int, encoding: str, *, recovering: bool) -> Iterator[Problem]:
    if number < _LEAST_VERSION:
        yield Problem(f"version {version} is older than 12", "upgrade it")
    if encoding != "UTF8":
        yield Problem(
            f"the database's encoding is {encoding}",
            "texts that it lacks are refused: make the database with ENCODING 'UTF8'",
        )
    if recovering:
        yield Problem("the server is a standby", "name the primary in the URL")


def _of_table(
    connection: psycopg.Connection, schema: str, table: str, rights: Sequence[str]
) -> Iterator[Problem]:
    there, may_create, lacks = one(
        connection, _RIGHTS, {"schema": schema, "table": table, "rights": list(rights)}
    )
    if not there and not may_create:
        yield Problem(
            f"{schema}.{table} is missing and may not be made",
            f"GRANT USAGE, CREATE ON SCHEMA {schema} TO … (docker/sql/target.sql)",
        )
    if there and lacks:
        named = ", ".join(lacks)
        yield Problem(f"no {named} on {schema}.{table}", f"GRANT {named} ON {schema}.{table} TO …")
