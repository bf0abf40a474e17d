"""Somebody who queries a table every 10 ms while it is replaced, on each engine."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
import pymysql

from jobu_core.pipeline.load.mysql.connecting import connect, read_url
from tests.load_bench import wait_until
from tests.mysql_bench import DATABASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[], tuple[Any, ...] | None]

READ_EVERY_SECONDS: Final = 0.01
LONGEST_WAIT_SECONDS: Final = 1.0
LONG_WAIT: Final = 60.0
QUERY: Final[LiteralString] = "SELECT name FROM items LIMIT 1"


class Reader(ABC):
    """Reads until the end of ``reading``; a wait for a lock that is too long is a failure."""

    def __init__(self, url: str) -> None:
        """Read from the database at ``url`` once ``reading`` is entered."""
        self.url = url
        self._stop = threading.Event()
        self.seen: set[str | None] = set()
        """Names of rows; None where the table was empty."""
        self.reads = 0
        self.longest_seconds = 0.0
        self.failure: Exception | None = None

    @abstractmethod
    def connected(self) -> Any:  # noqa: ANN401 - a context manager of Read
        """Open a connection that waits a second for a lock; yields what reads one row."""

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Read until the end of the block, which fails when a read failed."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            wait_until(lambda: self.reads > 0 or self.failure is not None)
            yield self
            before = self.reads
            wait_until(lambda: self.reads > before or self.failure is not None)
        finally:
            self._stop.set()
            thread.join(LONG_WAIT)
        assert self.failure is None
        print(f"{self.reads} reads, the longest {self.longest_seconds * 1000:.0f} ms")  # noqa: T201 - the figure

    def _run(self) -> None:
        try:
            with self.connected() as read:
                while not self._stop.wait(READ_EVERY_SECONDS):
                    began = time.monotonic()
                    row = read()
                    self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
                    self.seen.add(None if row is None else row[0].partition(" ")[0])
                    self.reads += 1
        except (psycopg.Error, pymysql.Error) as error:
            self.failure = error


class PostgresReader(Reader):
    """A reader of PostgreSQL."""

    @contextmanager
    def connected(self) -> Iterator[Read]:
        """Open an autocommit connection."""
        options = f"-c lock_timeout={LONGEST_WAIT_SECONDS * 1000:.0f}ms"
        with psycopg.connect(self.url, autocommit=True, options=options) as connection:
            yield lambda: connection.execute(QUERY).fetchone()


class MysqlReader(Reader):
    """A reader of MariaDB."""

    @contextmanager
    def connected(self) -> Iterator[Read]:
        """Open an autocommit connection."""
        with (
            connect(read_url(self.url, DATABASE), DATABASE) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"SET SESSION lock_wait_timeout = {LONGEST_WAIT_SECONDS:.0f}")

            def read() -> tuple[Any, ...] | None:
                cursor.execute(QUERY)
                return cursor.fetchone()

            yield read
