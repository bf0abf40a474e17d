"""After a load: statistics where they are worth their time, counts where rows may differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.errors import LoadRefused
from jobu_core.pipeline.load.postgres import load_parquet
from jobu_core.pipeline.load.request import Mode, Strategy
from tests.load_bench import items, wait_until

if TYPE_CHECKING:
    from tests.load_bench import Bench

ANALYZED_ROWS = "SELECT reltuples::int FROM pg_class WHERE oid = 'items'::regclass"
CHANGED_ROWS = "SELECT pg_stat_get_mod_since_analyze('items'::regclass)"


def test_a_new_table_is_analyzed(bench: Bench) -> None:
    """However few its rows are."""
    load_parquet(bench.request(items(3), create=True))
    assert bench.value(ANALYZED_ROWS) == 3


def test_a_load_that_changes_a_tenth_is_followed_by_statistics(bench: Bench) -> None:
    """The planner knows of it at once."""
    load_parquet(bench.request(items(1_000), create=True))
    load_parquet(bench.request(items(200, start=2_000), execution_id=2))
    assert bench.value(ANALYZED_ROWS) == 1_200


def test_small_loads_into_a_large_table_share_one_analyze(bench: Bench) -> None:
    """One alone leaves the statistics; what several have changed adds up."""
    load_parquet(bench.request(items(1_000), create=True))
    load_parquet(bench.request(items(100, start=2_000), execution_id=2))
    assert bench.value(ANALYZED_ROWS) == 1_000
    wait_until(lambda: bool(bench.value(CHANGED_ROWS) == 100))
    load_parquet(bench.request(items(100, start=3_000), execution_id=3))
    assert bench.value(ANALYZED_ROWS) == 1_200


def test_a_partitioned_table_is_always_analyzed(bench: Bench) -> None:
    """The server does not do it by itself."""
    bench.run(
        "CREATE TABLE items (id bigint, name text, value float8) PARTITION BY RANGE (id)",
        "CREATE TABLE items_1 PARTITION OF items FOR VALUES FROM (0) TO (100000)",
    )
    load_parquet(bench.request(items(1_000)))
    load_parquet(bench.request(items(1, start=2_000), execution_id=2))
    assert bench.value(ANALYZED_ROWS) == 1_001


def test_rows_that_a_trigger_adds_to_the_new_table_are_counted(bench: Bench) -> None:
    """A swap trusts COPY's own count unless something acts on the new table's rows."""
    load_parquet(bench.request(items(3), create=True))
    bench.run(
        "CREATE FUNCTION one_more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " EXECUTE format('INSERT INTO %s VALUES (99)', TG_RELID::regclass);"
        " RETURN NULL; END $$",
        "CREATE FUNCTION put_on() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        " EXECUTE (SELECT format('CREATE TRIGGER more AFTER INSERT ON %s FOR EACH STATEMENT"
        " WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION one_more()', object_identity)"
        " FROM pg_event_trigger_ddl_commands() WHERE object_type = 'table'); END $$",
        "CREATE EVENT TRIGGER always ON ddl_command_end WHEN TAG IN ('CREATE TABLE')"
        " EXECUTE FUNCTION put_on()",
    )
    asked = bench.request(items(5), mode=Mode.REPLACE, strategy=Strategy.SWAP, execution_id=2)
    with pytest.raises(LoadRefused, match="5 rows in the file, 6 in the new table"):
        load_parquet(asked)
    assert bench.count("items") == 3
