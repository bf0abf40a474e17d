"""Connections to target databases and what their errors mean.

No message of the server that may hold a cell's value leaves this module: data
errors are told by kind, column, constraint and line.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
from psycopg import IsolationLevel, sql

from jobu_core.errors import (
    ConfigError,
    DataError,
    JobuError,
    LoadRefused,
    TargetBusy,
    TargetUnavailable,
)
from jobu_core.store.sqlstate import Verdict, classify

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONNECT_TIMEOUT_SECONDS: Final = 5
_TERMINATE_WAIT_MS: Final = 5000
_BUSY: Final = frozenset({"55P03", "40P01", "40001"})
"""lock_not_available, deadlock_detected, serialization_failure."""

_SESSION: Final[LiteralString] = """
SELECT set_config(name, value, false)
FROM (VALUES
    ('timezone', 'UTC'), ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'),
    ('client_encoding', 'UTF8'), ('statement_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'), ('default_transaction_read_only', 'off')
) AS wanted (name, value)
"""

_END_OLDER: Final[LiteralString] = """
SELECT pg_terminate_backend(a.pid, %(wait)s)
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
  AND a.usename = current_user
  AND a.application_name ~ %(pattern)s
  AND split_part(a.application_name, ':', 3)::numeric < %(attempt)s
  AND EXISTS (
    SELECT FROM pg_locks AS l
    WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = a.datid
      AND ((l.classid::bigint << 32) | l.objid::bigint) = %(mark)s
  )
"""
_COPY_PLACE: Final = re.compile(r'^COPY .+?, line (\d+)(?:, column ([^:"\n]+))?', re.MULTILINE)
"""Not the line of a JSON document, which the context tells before that of the row."""


@contextmanager
def open_session(url: str, database: str, application_name: str) -> Iterator[psycopg.Connection]:
    """Open an autocommit connection to a target; statements run in READ COMMITTED.

    Raises TargetUnavailable when it cannot be reached, ConfigError when the URL is
    none. Errors inside are translated as in ``translated``.
    """
    try:
        connection = psycopg.connect(
            url,
            autocommit=True,
            application_name=application_name,
            connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            prepare_threshold=None,
        )
    except psycopg.ProgrammingError:
        msg = f"databases.{database}.url is not a URL of the form postgresql://user@host/name"
        raise ConfigError(msg) from None  # the driver's own message repeats the URL
    except psycopg.Error as error:
        msg = f"database {database!r} is not reachable: {_first_line(error)}"
        raise TargetUnavailable(msg) from error
    with translated(database), connection:
        connection.isolation_level = IsolationLevel.READ_COMMITTED
        connection.execute(_SESSION)
        yield connection


@contextmanager
def translated(database: str) -> Iterator[None]:
    """Raise TargetUnavailable, TargetBusy, DataError or LoadRefused for psycopg's errors."""
    try:
        yield
    except psycopg.Error as error:
        raise as_jobu_error(error, database) from error


def as_jobu_error(error: psycopg.Error, database: str) -> JobuError:
    """Return what an error of the target means, in words without any cell's value."""
    state = error.sqlstate
    if state in _BUSY:
        return TargetBusy(f"database {database!r}: {_kind(error)}; tried again later")
    if state is None and isinstance(error, psycopg.DataError):
        return DataError(f"database {database!r}: a value cannot be sent: {_kind(error)}")
    if classify(state) is Verdict.RETRY:
        return TargetUnavailable(f"database {database!r}: {_kind(error)}")
    if classify(state) is Verdict.REJECT:
        return DataError(f"database {database!r} refused the rows: {_place(error)}")
    return LoadRefused(f"database {database!r}: {_first_line(error)} (SQLSTATE {state})")


def bound_locks(connection: psycopg.Connection, seconds: float) -> None:
    """Let every lock of the current transaction be waited for at most ``seconds``."""
    connection.execute(
        "SELECT set_config('lock_timeout', %s, true)",
        (f"{max(1, round(seconds * 1000))}ms",),
    )


def end_older_attempts(
    connection: psycopg.Connection,
    *,
    execution_id: int,
    attempt: int,
    mark: int,
) -> int:
    """End loads of the same execution by lower attempts; return how many there were.

    ``mark`` tells this installation's loads from those of another one that uses
    the same database and may have the same execution ids.
    """
    rows = connection.execute(
        _END_OLDER,
        {
            "wait": _TERMINATE_WAIT_MS,
            "pattern": f"^jobu:{execution_id}:[0-9]{{1,9}}$",
            "attempt": attempt,
            "mark": mark,
        },
    ).fetchall()
    return len(rows)


def mark_session(connection: psycopg.Connection, mark: int) -> None:
    """Carry ``mark`` until the end of the transaction, for ``end_older_attempts``."""
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (mark,))


def one(
    connection: psycopg.Connection,
    query: LiteralString | sql.Composed,
    params: dict[str, Any] | tuple[Any, ...] = (),
) -> tuple[Any, ...]:
    """Return the single row of a query that always has one."""
    row = connection.execute(query, params).fetchone()
    if row is None:
        msg = "a query that always has a row had none"
        raise LoadRefused(msg)
    return row


def _kind(error: psycopg.Error) -> str:
    """Return "unique violation (SQLSTATE 23505)" for UniqueViolation."""
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
    return f"{words} (SQLSTATE {error.sqlstate})" if error.sqlstate else words


def _place(error: psycopg.Error) -> str:
    told = [_kind(error)]
    copied = _COPY_PLACE.search(error.diag.context or "")
    named = error.diag.column_name or (copied[2] if copied else None)
    if named:
        told.append(f"column {named!r}")
    if error.diag.constraint_name:
        told.append(f"constraint {error.diag.constraint_name!r}")
    if copied:
        told.append(f"line {copied[1]} of the rows sent")
    return ", ".join(told)


def _first_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0]
