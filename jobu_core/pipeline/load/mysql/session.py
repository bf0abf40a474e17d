"""An open connection to a MySQL or MariaDB target, set up so that nothing is guessed.

The server's own settings decide about wrong values, zero dates, time zones and what
0 means in an AUTO_INCREMENT column; a load sets all of them for itself.
"""

from __future__ import annotations

import math
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString

from pymysql import err

from jobu_core.errors import LoadRefused
from jobu_core.pipeline.load.mysql.connecting import connect, read_url
from jobu_core.pipeline.load.mysql.failures import translated
from jobu_core.pipeline.load.mysql.statements import Sql, composed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jobu_core.pipeline.load.mysql.streaming import StreamingConnection

_PATIENCE_SECONDS: Final = 3600
"""How long the server waits for our next packet: reading a file takes its time."""
_SETTINGS: Final[LiteralString] = """
SET SESSION
    sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,\
NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO',
    time_zone = '+00:00', sql_notes = 1, foreign_key_checks = 1, unique_checks = 1,
    sql_safe_updates = 0, sql_select_limit = 18446744073709551615, max_error_count = 64,
    sql_big_selects = 1, sql_quote_show_create = 1, completion_type = 'NO_CHAIN',
    wait_timeout = %(patience)s, net_read_timeout = %(patience)s, net_write_timeout = %(patience)s
"""
_ISOLATION: Final[LiteralString] = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
_OF_MARIADB: Final[LiteralString] = (
    "SET SESSION max_statement_time = 0, check_constraint_checks = 1"
)
"""MySQL has a time for SELECT only, and looks at its checks always."""
_PLAIN_TIMESTAMPS: Final[LiteralString] = "SET SESSION explicit_defaults_for_timestamp = 1"
"""Else the first timestamp of a made table would be set anew by every UPDATE. Some servers
do not let it be changed; newer ones have it on."""
_LOCK_WAITS: Final[LiteralString] = (
    "SET SESSION innodb_lock_wait_timeout = %(seconds)s, lock_wait_timeout = %(seconds)s"
)
_FACTS: Final[LiteralString] = """
SELECT version(), @@local_infile, @@max_allowed_packet, @@lower_case_table_names
"""


@dataclass(frozen=True, slots=True)
class Server:
    """What a load has to know about the server."""

    version: str
    mariadb: bool
    local_infile: bool
    """Whether LOAD DATA LOCAL is allowed by it and by the URL."""
    max_packet: int
    folds_names: bool
    """Whether it turns table names into lower case."""


@dataclass(frozen=True, slots=True)
class Session:
    """A connection and the few ways in which it is used."""

    connection: StreamingConnection
    server: Server
    database: str
    """Name in ``databases``."""
    schema: str
    """The URL's database, where the manifest is."""

    def run(
        self,
        template: LiteralString,
        values: Mapping[str, Any] | None = None,
        **pieces: Sql,
    ) -> int:
        """Execute a statement and return how many rows it affected."""
        with self.connection.cursor() as cursor:
            return int(cursor.execute(_text(template, values, pieces), values) or 0)

    def rows(
        self,
        template: LiteralString,
        values: Mapping[str, Any] | None = None,
        **pieces: Sql,
    ) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with self.connection.cursor() as cursor:
            cursor.execute(_text(template, values, pieces), values)
            return list(cursor.fetchall())

    def one(
        self,
        template: LiteralString,
        values: Mapping[str, Any] | None = None,
        **pieces: Sql,
    ) -> tuple[Any, ...]:
        """Return the single row of a query that always has one."""
        (found,) = self.rows(template, values, **pieces)
        return found

    def streamed(
        self,
        template: LiteralString,
        chunks: Iterable[bytes | memoryview],
        **pieces: Sql,
    ) -> int:
        """Execute a LOAD DATA LOCAL that reads ``chunks``; return the rows it affected.

        The template names its file ``{file}``.
        """
        file = self.text(self.connection.offer(chunks))
        try:
            return self.run(template, None, file=file, **pieces)
        finally:
            self.connection.withdraw()

    def raw(self, statement: bytes) -> int:
        """Execute a statement that is too long to be handled as text; return rows affected."""
        return int(self.connection.query(statement))

    def text(self, value: str) -> Sql:
        """Return a text in quotes for a statement."""
        return Sql(self.connection.escape(value))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Begin; commit at the end, or roll back when something is raised.

        A connection that is lost at COMMIT raises like any other error: what became
        of the transaction, the caller has to ask the manifest.
        """
        self.connection.begin()
        try:
            yield
        except BaseException:
            if self.connection.open:
                with suppress(err.Error):
                    self.connection.rollback()
            raise
        self.connection.commit()

    def bound_locks(self, seconds: float) -> None:
        """Let every lock be waited for at most ``seconds``, rounded up to whole ones."""
        self.run(_LOCK_WAITS, {"seconds": whole_seconds(seconds)})


@contextmanager
def open_session(url: str, database: str) -> Iterator[Session]:
    """Open an autocommit connection to a target; statements run in READ COMMITTED.

    Raises TargetUnavailable when it cannot be reached, ConfigError when the URL is
    none. Errors inside are translated as in ``translated``.
    """
    address = read_url(url, database)
    with closing(connect(address, database)) as connection, translated(database):
        session = Session(
            connection, _look_at(connection, address.local_infile), database, address.database
        )
        session.run(_SETTINGS, {"patience": _PATIENCE_SECONDS})
        session.run(_ISOLATION)
        if session.server.mariadb:
            session.run(_OF_MARIADB)
        with suppress(err.Error):
            session.run(_PLAIN_TIMESTAMPS)
        yield session


def whole_seconds(seconds: float) -> int:
    """Return a wait in the server's unit, at least one second."""
    return max(1, math.ceil(seconds))


def _look_at(connection: StreamingConnection, wants_local: bool) -> Server:
    with connection.cursor() as cursor:
        cursor.execute(_FACTS)
        found = cursor.fetchone()
    if found is None:
        raise LoadRefused("the server does not tell its version")
    version, local_infile, max_packet, case = found
    return Server(
        version=str(version),
        mariadb="mariadb" in str(version).lower(),
        local_infile=wants_local and bool(local_infile),
        max_packet=int(max_packet),
        folds_names=int(case) != 0,
    )


def _text(
    template: LiteralString,
    values: Mapping[str, Any] | None,
    pieces: Mapping[str, Sql],
) -> str:
    """Put pieces in; with values, PyMySQL reads ``%`` as its own, so theirs is doubled."""
    if values is None:
        return composed(template, **pieces).text
    doubled = {name: Sql(piece.text.replace("%", "%%")) for name, piece in pieces.items()}
    return composed(template, **doubled).text
