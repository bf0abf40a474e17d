"""Loads into MariaDB: append, exactly once, and what is refused before a byte is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.pipeline.load.mysql.loader import load_parquet
from jobu_core.pipeline.load.request import Outcome
from tests.load_bench import items

if TYPE_CHECKING:
    from tests.mysql_bench import MysqlBench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(100), value double)"


def test_append_adds_the_rows_and_their_manifest(mysql_bench: MysqlBench) -> None:
    """Both or neither: they are one transaction."""
    mysql_bench.run(ITEMS)
    result = load_parquet(mysql_bench.request(items(1000)))
    assert (result.outcome, result.rows, result.strategy) == (Outcome.LOADED, 1000, "append")
    assert mysql_bench.rows("SELECT * FROM items WHERE id IN (1, 1000) ORDER BY id") == [
        (1, "item 1", 0.25),
        (1000, "item 1000", 250.0),
    ]
    assert mysql_bench.rows("SELECT load_id, `rows`, mode FROM jobu_loads") == [
        (result.load_id, 1000, "append")
    ]
