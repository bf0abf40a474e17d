"""Upserts into MariaDB: what is the same row, and who writes it at the same time."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from jobu_core.crash_points import AUDIT_EVENT
from jobu_core.errors import DataError, SchemaMismatch, TargetBusy
from jobu_core.pipeline.load.mysql.loader import load_parquet
from jobu_core.pipeline.load.request import Mode
from tests.load_bench import items, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.mysql_bench import MysqlBench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(100), value double)"
# Not INNODB_TRX: what is asked more often than every 100 ms stays there as it was.
WAITING = (
    "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.GLOBAL_STATUS"
    " WHERE VARIABLE_NAME = 'INNODB_ROW_LOCK_CURRENT_WAITS'"
)
WAYS = pytest.mark.parametrize("options", ["", "&local_infile=0"], ids=["local", "insert"])
_meanwhile: dict[str, Callable[[], None]] = {}


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == AUDIT_EVENT and _meanwhile and arguments[0] in _meanwhile:
        _meanwhile.pop(arguments[0])()


sys.addaudithook(_hook)


@pytest.fixture
def meanwhile() -> Iterator[dict[str, Callable[[], None]]]:
    """Return what is done once when a load reaches a point."""
    yield _meanwhile
    _meanwhile.clear()


def upsert(bench: MysqlBench, rows: pa.Table | Path, **changes: Any) -> Any:  # noqa: ANN401 - a request
    """Return a request whose rows are told apart by id."""
    return bench.request(rows, mode=Mode.UPSERT, keys=("id",), **changes)


@WAYS
def test_the_last_row_of_a_key_wins(mysql_bench: MysqlBench, options: str) -> None:
    """Others stay; what is the same the table's collation says."""
    mysql_bench.run(
        "CREATE TABLE items (id varchar(9) COLLATE utf8mb4_general_ci PRIMARY KEY, n int,"
        " twice int AS (n * 2) STORED)",
        "INSERT INTO items (id, n) VALUES ('a', 1), ('kept', 1)",
    )
    rows = pa.table({"id": ["A", "b", "B"], "n": [2, 3, 4]})
    assert load_parquet(upsert(mysql_bench, rows, url=mysql_bench.url + options)).rows == 2
    found = mysql_bench.rows("SELECT lower(id), n, twice FROM items ORDER BY id")
    assert found == [("a", 2, 4), ("b", 4, 8), ("kept", 1, 2)]


def test_keys_must_be_those_of_a_unique_index(mysql_bench: MysqlBench) -> None:
    """Not of one that is wider, narrower, or on a part of a column; and never null."""
    for index in ("UNIQUE (id, name)", "UNIQUE (name)", "KEY (id)"):
        mysql_bench.run(f"CREATE OR REPLACE TABLE items (id bigint, name varchar(9), {index})")
        with pytest.raises(SchemaMismatch, match="needs a unique index on exactly"):
            load_parquet(upsert(mysql_bench, pa.table({"id": [1], "name": ["a"]})))
    mysql_bench.run("CREATE OR REPLACE TABLE items (id varchar(9), UNIQUE (id(3)))")
    with pytest.raises(SchemaMismatch, match="on whole columns"):
        load_parquet(upsert(mysql_bench, pa.table({"id": ["a"]})))
    mysql_bench.run("CREATE OR REPLACE TABLE items (id bigint, UNIQUE (id))")
    with pytest.raises(DataError, match="key 'id' is null in 1 rows"):
        load_parquet(upsert(mysql_bench, pa.table({"id": [1, None]})))


def test_another_unique_key_is_no_row_to_change(mysql_bench: MysqlBench) -> None:
    """ON DUPLICATE KEY UPDATE would change the row with the same name."""
    mysql_bench.run(f"{ITEMS[:-1]}, UNIQUE (name))", "INSERT INTO items VALUES (9, 'item 1', 0)")
    with pytest.raises(DataError, match=r"duplicate key.*'name'"):
        load_parquet(upsert(mysql_bench, items(1)))
    assert mysql_bench.rows("SELECT * FROM items") == [(9, "item 1", 0.0)]


def test_a_row_that_is_being_added_is_waited_for_and_changed(mysql_bench: MysqlBench) -> None:
    """Its transaction commits while the upsert waits; both count it."""
    mysql_bench.run(ITEMS)
    with (
        ThreadPoolExecutor(1) as pool,
        mysql_bench.connection() as other,
        other.cursor() as cursor,
    ):
        other.begin()
        cursor.execute("INSERT INTO items VALUES (2, 'theirs', 0)")
        load = pool.submit(load_parquet, upsert(mysql_bench, items(3)))
        wait_until(lambda: mysql_bench.value(WAITING) > 0)
        other.commit()
        assert load.result(30).rows == 3
    assert ("item 2",) in mysql_bench.rows("SELECT name FROM items")


@pytest.mark.parametrize("point", ["mysql_upsert.matched", "mysql_upsert.changed"])
def test_a_row_that_comes_in_between_defers_the_load(
    mysql_bench: MysqlBench, meanwhile: dict[str, Callable[[], None]], point: str
) -> None:
    """Nobody is at fault, so it is no error of the rows; the next attempt changes that row."""
    mysql_bench.run(ITEMS)
    path = mysql_bench.file(items(3))
    meanwhile[point] = lambda: mysql_bench.run("INSERT INTO items VALUES (2, 'theirs', 0)")
    with pytest.raises(TargetBusy, match="same keys came or went"):
        load_parquet(upsert(mysql_bench, path))
    assert mysql_bench.rows("SELECT name FROM items") == [("theirs",)]
    assert load_parquet(upsert(mysql_bench, path, attempt=2)).rows == 3
    assert mysql_bench.count("items") == 3


def test_a_row_that_is_added_at_the_same_moment_defers_the_load(
    mysql_bench: MysqlBench, meanwhile: dict[str, Callable[[], None]]
) -> None:
    """The INSERT waits for the other one, which then has the key."""
    mysql_bench.run(ITEMS)
    path = mysql_bench.file(items(3))
    began, committed = threading.Event(), threading.Event()

    def add() -> None:
        with mysql_bench.connection() as other, other.cursor() as cursor:
            other.begin()
            cursor.execute("INSERT INTO items VALUES (2, 'theirs', 0)")
            began.set()
            wait_until(lambda: mysql_bench.value(WAITING) > 0)
            other.commit()
            committed.set()

    def begin() -> None:
        threading.Thread(target=add).start()
        assert began.wait(10)

    meanwhile["mysql_upsert.changed"] = begin
    with pytest.raises(TargetBusy, match="same keys came or went"):
        load_parquet(upsert(mysql_bench, path))
    assert committed.wait(10)
    assert load_parquet(upsert(mysql_bench, path, attempt=2)).rows == 3


def test_a_lock_that_is_not_granted_in_time_defers_the_load(mysql_bench: MysqlBench) -> None:
    """Nothing stays, and no attempt is spent."""
    mysql_bench.run(ITEMS, "INSERT INTO items VALUES (2, 'theirs', 0)")
    with mysql_bench.connection() as other, other.cursor() as cursor:
        other.begin()
        cursor.execute("UPDATE items SET value = 1")
        with pytest.raises(TargetBusy, match="Lock wait timeout"):
            load_parquet(upsert(mysql_bench, items(3), lock_wait_seconds=1))
        other.rollback()
    assert (mysql_bench.count("items"), mysql_bench.count("jobu_loads")) == (1, 0)
