"""What load tests need: Parquet files, requests, a connection to look with."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from jobu_core.pipeline.load.identifiers import parse_table
from jobu_core.pipeline.load.request import LoadRequest, Mode
from jobu_core.pipeline.load.source import ParquetInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

INSTALLATION = "11111111-2222-3333-4444-555555555555"
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def items(count: int, *, prefix: str = "item", start: int = 1) -> pa.Table:
    """Return ``count`` rows of id, name, value."""
    ids = range(start, start + count)
    return pa.table(
        {
            "id": pa.array(list(ids), pa.int64()),
            "name": pa.array([f"{prefix} {number}" for number in ids], pa.string()),
            "value": pa.array([number / 4 for number in ids], pa.float64()),
        },
    )


class Bench:
    """One target database and a folder of files."""

    def __init__(self, url: str, folder: Path) -> None:
        """Look at ``url``, write files to ``folder``."""
        self.url = url
        self.folder = folder

    def file(self, table: pa.Table, name: str = "rows.parquet") -> Path:
        """Write ``table`` as Parquet and return its path."""
        path = self.folder / name
        pq.write_table(table, path)
        return path

    def request(
        self,
        table: pa.Table | Path,
        target: str = "items",
        /,
        **changes: Any,  # noqa: ANN401 - fields of LoadRequest
    ) -> LoadRequest:
        """Return a request for ``table``; every field can be given another value.

        ``source_sha256``, ``rejected`` and ``hidden`` are those of its input.
        """
        path = self.file(table) if isinstance(table, pa.Table) else table
        source = hashlib.sha256(path.read_bytes()).hexdigest()
        execution = changes.pop("execution_id", 1)
        fields: dict[str, Any] = {
            "input": ParquetInput(
                path,
                changes.pop("source_sha256", source),
                rejected=changes.pop("rejected", 0),
                hidden=changes.pop("hidden", ()),
            ),
            "target": parse_table(target),
            "url": self.url,
            "mode": Mode.APPEND,
            "installation": INSTALLATION,
            "root_execution_id": execution,
            "execution_id": execution,
            "attempt": 1,
            "effective_time": NOON,
            "params_sha256": "0" * 64,
            "check_lease": lambda: None,
            "lock_wait_seconds": 10.0,
        }
        return LoadRequest(**(fields | changes))

    def run(self, *statements: LiteralString) -> None:
        """Execute statements, each committed at once."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query).fetchall()

    def value(self, query: LiteralString) -> Any:  # noqa: ANN401 - whatever the query selects
        """Return the single value that a query finds."""
        ((found,),) = self.rows(query)
        return found

    def count(self, *name: str) -> int:
        """Return how many rows a table has."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*name)),
            ).fetchone()
        assert row is not None
        return int(row[0])

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection]:
        """Open a connection with a transaction of its own; rolled back at the end."""
        with psycopg.connect(self.url) as connection:
            yield connection
            connection.rollback()


def wait_until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    """Look until ``condition`` holds; fails after ``seconds``."""
    give_up = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < give_up, "the condition did not come true in time"
        pause.wait(0.01)
