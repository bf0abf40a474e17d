"""A MySQL or MariaDB target as ``jobu doctor`` sees it: nothing in it is changed.

Rights are found out by asking the server for statements that do nothing: its answer
counts grants of every kind, roles too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, LiteralString

from pymysql import err

from jobu_core.errors import JobuError
from jobu_core.pipeline.load.health import Health, Problem
from jobu_core.pipeline.load.identifiers import TableName
from jobu_core.pipeline.load.mysql.columns import read_columns
from jobu_core.pipeline.load.mysql.failures import MAY_NOT, number_of
from jobu_core.pipeline.load.mysql.manifest import loads_of, release_lock, try_lock
from jobu_core.pipeline.load.mysql.renaming import RIGHTS, may_rename_beside
from jobu_core.pipeline.load.mysql.session import open_session
from jobu_core.pipeline.load.mysql.statements import quoted
from jobu_core.pipeline.load.mysql.statements import table as table_name
from jobu_core.pipeline.load.mysql.sweeping import find_left_overs
from jobu_core.pipeline.load.mysql.tables import find_table
from jobu_core.pipeline.load.request import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobu_core.pipeline.load.health import Wanted
    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.load.mysql.statements import Sql

_LEAST: Final = {True: (10, 6), False: (8, 0)}
"""Version by "is it MariaDB": before these a RENAME may stop half way when the server dies."""
_LEAST_PACKET: Final = 1024 * 1024
_LOCK_WAIT_SECONDS: Final = 2
_VERSION: Final = re.compile(r"(\d+)\.(\d+)")
_FACTS: Final[LiteralString] = """
SELECT @@session.sql_mode, @@session.time_zone, @@global.read_only, @@global.local_infile,
       (SELECT SUPPORT FROM information_schema.ENGINES WHERE ENGINE = 'InnoDB')
"""
_INSERT: Final[LiteralString] = "EXPLAIN INSERT INTO {table} ({column}) VALUES (NULL)"
_UPDATE: Final[LiteralString] = "EXPLAIN UPDATE {table} SET {column} = {column} WHERE 1 = 0"
_DELETE: Final[LiteralString] = "EXPLAIN DELETE FROM {table} WHERE 1 = 0"
_LOCK: Final = "jobu:doctor"


def examine(url: str, database: str, wanted: Sequence[Wanted]) -> Health:
    """Look at a target and at the tables that are loaded there.

    Raises TargetUnavailable when it cannot be reached, ConfigError for the URL.
    """
    with open_session(url, database) as session:
        session.bound_locks(_LOCK_WAIT_SECONDS)
        problems = [
            *_of_server(session),
            *_of_manifest(session),
            *(each for one in wanted for each in _of_table(session, one)),
            *_left_overs(session, wanted),
        ]
        return Health(_facts(session), tuple(problems))


def _facts(session: Session) -> str:
    server = session.server
    wire = "LOAD DATA LOCAL" if server.local_infile else f"INSERT ({_why_not_local(session)})"
    kind = "MariaDB" if server.mariadb else "MySQL"
    return f"{kind} {server.version.partition('-')[0]}, rows travel by {wire}"


def _why_not_local(session: Session) -> str:
    _, _, _, allowed, _ = session.one(_FACTS)
    return "local_infile is off in the URL" if allowed else "local_infile is off at the server"


def _of_server(session: Session) -> Iterator[Problem]:
    server = session.server
    modes, zone, read_only, _, innodb = session.one(_FACTS)
    match = _VERSION.search(server.version)
    least = _LEAST[server.mariadb]
    if match is not None and (int(match[1]), int(match[2])) < least:
        asked = ".".join(map(str, least))
        yield Problem(
            f"version {server.version} is older than {asked}",
            "a server that dies within a RENAME may leave a table without its name: upgrade it",
        )
    if innodb not in {"YES", "DEFAULT"}:
        yield Problem("InnoDB is not available", "no other engine can roll a load back")
    if "STRICT_ALL_TABLES" not in str(modes) or zone != "+00:00":
        yield Problem(
            "what a session sets is not kept",
            "a proxy between jobu and the server shares connections: go around it",
        )
    elif not _keeps_locks(session):
        yield Problem(
            "a lock that was taken is not held",
            "a proxy between jobu and the server shares connections: go around it",
        )
    if str(read_only).upper() not in {"0", "OFF", "NO", "NO_LOCK"}:
        yield Problem("the server is read-only", "name the primary in the URL, not a replica")
    if server.max_packet < _LEAST_PACKET:
        yield Problem(
            f"max_allowed_packet is {server.max_packet} bytes",
            "rows longer than that cannot be sent by INSERT: set at least 1 MiB",
        )


def _keeps_locks(session: Session) -> bool:
    if not try_lock(session, _LOCK, _LOCK_WAIT_SECONDS):
        return True  # another doctor has it
    (holder, me) = session.one("SELECT is_used_lock(%(name)s), connection_id()", {"name": _LOCK})
    release_lock(session, _LOCK)
    return bool(holder == me)


def _of_manifest(session: Session) -> Iterator[Problem]:
    manifest = TableName(session.database, session.schema, "jobu_loads")
    try:
        there = find_table(session, manifest)
    except JobuError as error:
        yield Problem(str(error), "move it away: jobu makes its own")
        return
    if not there:
        if not may_rename_beside(session, manifest):
            yield Problem(
                f"{session.schema}.jobu_loads is missing and may not be made",
                f"grant {RIGHTS} on {session.schema}.*, or make the table as docs/mysql.md says",
            )
        return
    column = quoted("load_key")
    lacks = [
        right
        for right, statement in (("INSERT", _INSERT), ("UPDATE", _UPDATE))
        if not _may(session, statement, table=loads_of(session), column=column)
    ]
    if lacks:
        yield _lacks(session.schema, "jobu_loads", lacks)


def _of_table(session: Session, wanted: Wanted) -> Iterator[Problem]:
    target = wanted.table
    try:
        there = find_table(session, target)
        columns = read_columns(session, target) if there else ()
    except JobuError as error:
        yield Problem(str(error), "correct the dataset's target, or the table")
        return
    if not there:
        if not may_rename_beside(session, target):
            yield Problem(
                f"{target} does not exist and may not be made",
                f"grant {RIGHTS} on {target.schema}.*, or make the table",
            )
        return
    column = quoted(columns[0].name)
    asked = [("INSERT", _INSERT)]
    if wanted.mode is Mode.UPSERT:
        asked.append(("UPDATE", _UPDATE))
    if wanted.mode is Mode.REPLACE and not may_rename_beside(session, target):
        asked.append(("DELETE", _DELETE))
    lacks = [
        right
        for right, statement in asked
        if not _may(session, statement, table=table_name(target), column=column)
    ]
    if lacks:
        yield _lacks(target.schema, target.table, lacks)


def _lacks(schema: str, table: str, rights: Sequence[str]) -> Problem:
    named = ", ".join(rights)
    return Problem(f"no {named} on {schema}.{table}", f"GRANT {named} ON {schema}.{table} TO …")


def _may(session: Session, statement: LiteralString, **pieces: Sql) -> bool:
    """Whether the server would let this user do it; EXPLAIN does not."""
    values: dict[str, Any] | None = None
    try:
        session.rows(statement, values, **pieces)
    except err.Error as error:
        return number_of(error) not in MAY_NOT
    return True


def _left_overs(session: Session, wanted: Sequence[Wanted]) -> Iterator[Problem]:
    found = find_left_overs(session, [each.table.schema for each in wanted])
    if found.swaps:
        yield Problem(
            f"a replace died at {', '.join(found.swaps)}",
            "the next load of the table, or `jobu prune`, finishes it or takes it back",
        )
    if found.strangers:
        yield Problem(
            f"tables of jobu's names that no ledger knows: {', '.join(found.strangers)}",
            "look into them and drop them by hand",
        )
