"""Those who read a MariaDB table while it is replaced: never kept waiting, never shown it empty."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobu_core.errors import TargetBusy
from jobu_core.pipeline.load.mysql.loader import load_parquet
from jobu_core.pipeline.load.request import Mode, Strategy
from tests.load_bench import NOON, items, wait_until
from tests.readers import LONG_WAIT, LONGEST_WAIT_SECONDS, MysqlReader

if TYPE_CHECKING:
    from tests.mysql_bench import MysqlBench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(100), value double)"
WAITING = "SELECT count(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE '%metadata%'"
OLD = "INSERT INTO items SELECT seq, 'old', 0 FROM seq_1_to_100"


@pytest.mark.parametrize("strategy", [Strategy.SWAP, Strategy.DELETE])
def test_a_reader_is_never_kept_waiting_by_a_replace(
    mysql_bench: MysqlBench, strategy: Strategy
) -> None:
    """Each read finds old rows or new ones, and waits under a second for its lock."""
    make_old(mysql_bench, 100)
    with MysqlReader(mysql_bench.url).reading() as reader:
        load_parquet(mysql_bench.request(items(100_000), mode=Mode.REPLACE, strategy=strategy))
    assert reader.seen == {"old", "item"}


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("strategy", [Strategy.SWAP, Strategy.DELETE])
def test_a_reader_is_never_kept_waiting_by_a_big_replace(
    mysql_bench: MysqlBench, strategy: Strategy
) -> None:
    """2 M rows by 2 M rows: no read takes over a second, whatever it waits for."""
    load_parquet(mysql_bench.request(items(2_000_000, prefix="old"), create=True, execution_id=9))
    path = mysql_bench.file(items(2_000_000))
    with MysqlReader(mysql_bench.url).reading() as reader:
        load_parquet(
            mysql_bench.request(
                path, mode=Mode.REPLACE, strategy=strategy, effective_time=NOON + timedelta(1)
            )
        )
    assert reader.seen == {"old", "item"}
    assert reader.longest_seconds < LONGEST_WAIT_SECONDS
    assert mysql_bench.rows("SELECT count(*), sum(name LIKE 'old%') FROM items") == [(2_000_000, 0)]


@pytest.mark.parametrize("held_seconds", [2.0, pytest.param(30.0, marks=pytest.mark.long)])
def test_a_long_reader_delays_a_swap_and_nobody_else(
    mysql_bench: MysqlBench, held_seconds: float
) -> None:
    """Who holds the table from the moment the swap wants it neither fails it nor blocks others."""
    make_old(mysql_bench, 100)
    holder = Holder(mysql_bench, held_seconds)
    request: dict[str, Any] = {"mode": Mode.REPLACE, "check_lease": holder.be_in_the_way}
    began = time.monotonic()
    try:
        with MysqlReader(mysql_bench.url).reading() as reader:
            result = load_parquet(
                mysql_bench.request(items(5), lock_wait_seconds=LONG_WAIT, **request)
            )
        took = time.monotonic() - began
    finally:
        holder.let_go()
    assert (result.strategy, mysql_bench.count("items")) == ("swap", 5)
    assert took >= held_seconds
    assert reader.seen == {"old", "item"}


def test_a_table_that_is_held_too_long_defers_the_load(mysql_bench: MysqlBench) -> None:
    """Nothing of it stays; the next attempt swaps."""
    make_old(mysql_bench, 100)
    holder = Holder(mysql_bench, LONG_WAIT)
    path = mysql_bench.file(items(5))
    try:
        with pytest.raises(TargetBusy, match="readers or writers held the table for 1 s"):
            load_parquet(
                mysql_bench.request(
                    path,
                    mode=Mode.REPLACE,
                    lock_wait_seconds=1.0,
                    check_lease=holder.be_in_the_way,
                )
            )
    finally:
        holder.let_go()
    assert mysql_bench.tables() == {"items"}
    assert mysql_bench.count("items") == 100
    assert load_parquet(mysql_bench.request(path, mode=Mode.REPLACE, attempt=2)).rows == 5


def test_a_table_that_is_altered_while_the_swap_waits_is_not_swapped(
    mysql_bench: MysqlBench,
) -> None:
    """An ALTER that had to wait as well comes first; the new table would not have its column."""
    make_old(mysql_bench, 100)
    holder = Holder(mysql_bench, LONG_WAIT)
    path = mysql_bench.file(items(5))
    altering = threading.Thread(
        target=mysql_bench.run, args=("ALTER TABLE items ADD COLUMN more int",)
    )

    def be_in_the_way() -> None:
        holder.be_in_the_way()
        altering.start()
        waiting = (
            "SELECT count(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE '%metadata%'"
        )
        wait_until(lambda: mysql_bench.value(waiting) > 0)
        threading.Timer(1.0, holder.let_go).start()

    try:
        with pytest.raises(TargetBusy, match="was altered while it was loaded"):
            load_parquet(mysql_bench.request(path, mode=Mode.REPLACE, check_lease=be_in_the_way))
    finally:
        holder.let_go()
        altering.join(LONG_WAIT)
    assert mysql_bench.tables() == {"items"}
    assert mysql_bench.rows("SHOW COLUMNS FROM items LIKE 'more'")
    assert mysql_bench.count("items") == 100


class Holder:
    """A transaction that has read the table, and so keeps others from renaming it."""

    def __init__(self, bench: MysqlBench, seconds: float) -> None:
        """Hold it for that long at most."""
        self._bench, self._seconds = bench, seconds
        self._held, self._let_go = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    def be_in_the_way(self) -> None:
        """Hold the table from now on, once."""
        if not self._threads:
            self._threads.append(threading.Thread(target=self._hold))
            self._threads[0].start()
        assert self._held.wait(LONG_WAIT)

    def let_go(self) -> None:
        """End the transaction."""
        self._let_go.set()
        for thread in self._threads:
            thread.join(LONG_WAIT)

    def _hold(self) -> None:
        with self._bench.connection() as connection, connection.cursor() as cursor:
            connection.begin()
            cursor.execute("SELECT count(*) FROM items")
            self._held.set()
            self._let_go.wait(self._seconds)
            connection.rollback()


def make_old(bench: MysqlBench, rows: int) -> None:
    """Make the table with rows that are called "old"."""
    bench.run(ITEMS, OLD.replace("100", str(rows)))
