"""Those who read a table while it is replaced: they never wait long and never see it empty."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobu_core.pipeline.load.postgres import load_parquet
from jobu_core.pipeline.load.request import Mode, Strategy
from tests.load_bench import items, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.load_bench import Bench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name text, value double precision)"
OLD = "INSERT INTO items SELECT g, 'old', 0 FROM generate_series(1, 100) AS g"
READ_EVERY_SECONDS = 0.01
LONGEST_WAIT_SECONDS = 1.0
LONG_WAIT = 60.0


class Reader:
    """Somebody who queries the table every 10 ms, and what they saw."""

    def __init__(self, url: str) -> None:
        """Read from the database at ``url`` once ``reading`` is entered."""
        self._url = url
        self._stop = threading.Event()
        self.seen: set[str | None] = set()
        """Names of rows; None where the table was empty."""
        self.reads = 0
        self.longest_seconds = 0.0
        self.failure: psycopg.Error | None = None

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

    def _run(self) -> None:
        """Read until told to stop; a wait for a lock that is too long is ended by the server."""
        options = f"-c lock_timeout={LONGEST_WAIT_SECONDS * 1000:.0f}ms"
        with psycopg.connect(self._url, autocommit=True, options=options) as connection:
            while not self._stop.wait(READ_EVERY_SECONDS):
                began = time.monotonic()
                try:
                    row = connection.execute("SELECT name FROM items LIMIT 1").fetchone()
                except psycopg.Error as error:
                    self.failure = error
                    return
                self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
                self.seen.add(None if row is None else row[0].partition(" ")[0])
                self.reads += 1


@pytest.mark.parametrize("strategy", [Strategy.SWAP, Strategy.DELETE])
def test_a_reader_is_never_kept_waiting_by_a_replace(bench: Bench, strategy: Strategy) -> None:
    """Each read finds old rows or new ones, and waits under a second for its lock."""
    bench.run(ITEMS, OLD)
    with Reader(bench.url).reading() as reader:
        load_parquet(bench.request(items(100_000), mode=Mode.REPLACE, strategy=strategy))
    assert reader.seen == {"old", "item"}


@pytest.mark.long
@pytest.mark.parametrize("strategy", [Strategy.SWAP, Strategy.DELETE])
def test_a_reader_is_never_kept_waiting_by_a_big_replace(bench: Bench, strategy: Strategy) -> None:
    """2 M rows by 2 M rows: no read takes over a second, whatever it waits for."""
    bench.run(
        ITEMS,
        "INSERT INTO items SELECT g, 'old', 0 FROM generate_series(1, 2000000) AS g",
        "VACUUM",
    )
    path = bench.file(items(2_000_000))
    with Reader(bench.url).reading() as reader:
        load_parquet(bench.request(path, mode=Mode.REPLACE, strategy=strategy))
    assert reader.seen == {"old", "item"}
    assert reader.longest_seconds < LONGEST_WAIT_SECONDS
    assert bench.rows("SELECT count(*), count(*) FILTER (WHERE name = 'old') FROM items") == [
        (2_000_000, 0)
    ]


@pytest.mark.parametrize("held_seconds", [2.0, pytest.param(30.0, marks=pytest.mark.long)])
def test_a_long_reader_delays_a_swap_and_nobody_else(bench: Bench, held_seconds: float) -> None:
    """Who holds the table from the moment the swap wants it neither fails it nor blocks others."""
    bench.run(ITEMS, OLD)
    held, let_go = threading.Event(), threading.Event()
    holders: list[threading.Thread] = []

    def hold() -> None:
        with bench.session() as holder:
            holder.execute("SELECT count(*) FROM items")
            held.set()
            let_go.wait(held_seconds)

    def be_in_the_way() -> None:
        if not holders:
            holders.append(threading.Thread(target=hold))
            holders[0].start()
        assert held.wait(LONG_WAIT)

    request: dict[str, Any] = {"mode": Mode.REPLACE, "check_lease": be_in_the_way}
    began = time.monotonic()
    try:
        with Reader(bench.url).reading() as reader:
            result = load_parquet(bench.request(items(5), lock_wait_seconds=LONG_WAIT, **request))
        took = time.monotonic() - began
    finally:
        let_go.set()
        holders[0].join(LONG_WAIT)
    assert (result.strategy, bench.count("items")) == ("swap", 5)
    assert took >= held_seconds
    assert reader.seen == {"old", "item"}
