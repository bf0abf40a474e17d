"""Those who read a table while it is replaced: they never wait long and never see it empty."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from jobu_core.pipeline.load.postgres import load_parquet
from jobu_core.pipeline.load.request import Mode, Strategy
from tests.load_bench import items
from tests.readers import LONG_WAIT, LONGEST_WAIT_SECONDS, PostgresReader

if TYPE_CHECKING:
    from tests.load_bench import Bench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name text, value double precision)"
OLD = "INSERT INTO items SELECT g, 'old', 0 FROM generate_series(1, 100) AS g"


@pytest.mark.parametrize("strategy", [Strategy.SWAP, Strategy.DELETE])
def test_a_reader_is_never_kept_waiting_by_a_replace(bench: Bench, strategy: Strategy) -> None:
    """Each read finds old rows or new ones, and waits under a second for its lock."""
    bench.run(ITEMS, OLD)
    with PostgresReader(bench.url).reading() as reader:
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
    with PostgresReader(bench.url).reading() as reader:
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
        with PostgresReader(bench.url).reading() as reader:
            result = load_parquet(bench.request(items(5), lock_wait_seconds=LONG_WAIT, **request))
        took = time.monotonic() - began
    finally:
        let_go.set()
        holders[0].join(LONG_WAIT)
    assert (result.strategy, bench.count("items")) == ("swap", 5)
    assert took >= held_seconds
    assert reader.seen == {"old", "item"}
