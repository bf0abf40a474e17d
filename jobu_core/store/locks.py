"""Session advisory locks: who of many processes may do what only one should.

A lock lives on a connection of its own, outside every pool and every
transaction, and ends with it: whatever kills the holder frees the lock.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, LiteralString

import psycopg

from jobu_core.errors import StoreUnavailable

if TYPE_CHECKING:
    import sqlalchemy as sa

_WAIT: Final[LiteralString] = "SELECT set_config('lock_timeout', %(wait)s, false)"
_TAKE: Final[LiteralString] = "SELECT pg_advisory_lock(%(key)s)"
_TRY: Final[LiteralString] = "SELECT pg_try_advisory_lock(%(key)s)"
_PROBE: Final[LiteralString] = "SELECT 1"

_KEEPALIVE: Final = (
    "-c timezone=UTC -c tcp_keepalives_idle=10"
    " -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
)
"""Lets the server notice within half a minute that a holder's machine is gone."""


def lock_key(*names: str) -> int:
    """Return the signed 64-bit key of a lock that is named by words."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class SessionLock:
    """One named lock of the job store; taken, checked and let go by one owner."""

    def __init__(self, engine: sa.Engine, *names: str) -> None:
        """Name the lock; nothing is connected yet."""
        self._engine = engine
        self._name = ":".join(names)
        self._key = lock_key(*names)
        self._connection: psycopg.Connection | None = None
        self._takes = 0

    @property
    def takes(self) -> int:
        """How often it was taken; unchanged = held without a break since."""
        return self._takes

    @property
    def is_held(self) -> bool:
        """Whether it was held when last looked at."""
        return self._connection is not None

    def hold(self, wait_seconds: float = 0.0) -> bool:
        """Make sure that the lock is ours, waiting up to ``wait_seconds`` for it.

        Returns False when somebody else keeps it. A lock that was lost with its
        connection is taken anew. Raises StoreUnavailable.
        """
        try:
            if self._connection is not None and self._still_alive(self._connection):
                return True
            return self._take(wait_seconds)
        except psycopg.Error as error:
            self.release()
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise StoreUnavailable(f"lock {self._name}: {lines[0]}") from error

    def release(self) -> None:
        """Let go by closing the connection; nothing if it is not held."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _still_alive(self, connection: psycopg.Connection) -> bool:
        try:
            connection.execute(_PROBE)
        except psycopg.OperationalError:
            self.release()
            return False
        return True

    def _take(self, wait_seconds: float) -> bool:
        connection = self._connect()
        try:
            if not self._granted(connection, wait_seconds):
                connection.close()
                return False
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._takes += 1
        return True

    def _granted(self, connection: psycopg.Connection, wait_seconds: float) -> bool:
        key = {"key": self._key}
        row = connection.execute(_TRY, key).fetchone()
        if row is not None and row[0]:
            return True
        milliseconds = int(wait_seconds * 1000)
        if milliseconds <= 0:
            return False
        connection.execute(_WAIT, {"wait": f"{milliseconds}ms"})
        try:
            connection.execute(_TAKE, key)
        except psycopg.errors.LockNotAvailable:
            return False
        return True

    def _connect(self) -> psycopg.Connection:
        _, arguments = self._engine.dialect.create_connect_args(self._engine.url)
        return psycopg.connect(
            **{
                **arguments,
                "autocommit": True,
                "application_name": "jobu-lock",
                "connect_timeout": 5,
                "tcp_user_timeout": 10_000,
                "options": _KEEPALIVE,
            },
        )
