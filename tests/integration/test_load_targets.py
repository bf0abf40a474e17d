"""Which tables may be loaded, which are made, and that names are taken exactly."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pytest

from jobu_core.errors import LoadRefused, SchemaMismatch
from jobu_core.pipeline.load.postgres import load_parquet
from tests.load_bench import items

if TYPE_CHECKING:
    from tests.load_bench import Bench


def test_a_missing_table_is_created_only_on_request(bench: Bench) -> None:
    """Without create: true a missing table is a schema error that says so."""
    with pytest.raises(SchemaMismatch, match="create: true"):
        load_parquet(bench.request(items(3)))
    result = load_parquet(bench.request(items(3), create=True))
    assert result.strategy == "create"
    assert result.columns == (
        ("id", "bigint"),
        ("name", "text"),
        ("value", "double precision"),
    )
    assert bench.count("items") == 3


def test_two_first_loads_create_the_table_once(bench: Bench) -> None:
    """The second creator waits for the first and appends to its table."""
    entered, leave = threading.Event(), threading.Event()
    results: list[str | None] = []

    def hold() -> None:
        entered.set()
        assert leave.wait(10)

    path = bench.file(items(5))
    one = bench.request(path, create=True, check_lease=hold)
    two = bench.request(path, create=True, execution_id=2)
    threads = [
        threading.Thread(target=lambda each=each: results.append(load_parquet(each).strategy))
        for each in (one, two)
    ]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join(10)
    assert sorted(map(str, results)) == ["append", "create"]
    assert bench.count("items") == 10


@pytest.mark.parametrize(
    "target",
    ["job_executions", "jobu_meta", "jobu_loads", "dagster.runs", "pg_catalog.pg_class"],
)
def test_jobus_own_and_system_tables_are_refused(bench: Bench, target: str) -> None:
    """Whatever the allow-list says, these tables are never loaded."""
    with pytest.raises(LoadRefused, match="can never be a target"):
        load_parquet(bench.request(items(1), target))


def test_a_job_store_under_another_name_is_recognised(bench: Bench) -> None:
    """The database's content decides, not what databases.yaml calls it."""
    with pytest.raises(LoadRefused, match="job store"):
        load_parquet(bench.request(items(1), "warehouse.public.workers"))


def test_a_users_table_may_be_called_workers_elsewhere(bench: Bench) -> None:
    """Only a schema that holds a job store reserves the store's names."""
    bench.run("CREATE SCHEMA shop")
    load_parquet(bench.request(items(1), "warehouse.shop.workers", create=True))
    assert bench.count("shop", "workers") == 1


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_only_tables_are_loaded(bench: Bench, kind: str) -> None:
    """A view is refused by what it is."""
    with psycopg.connect(bench.url, autocommit=True) as connection:
        connection.execute(f"CREATE {kind} items AS SELECT 1 AS id".encode())
    with pytest.raises(LoadRefused, match=f"is a {kind.lower()}"):
        load_parquet(bench.request(items(1)))


def test_names_with_quotes_blanks_and_accents_are_taken_exactly(bench: Bench) -> None:
    """Schema, table and columns of any spelling are created and loaded."""
    bench.run('CREATE SCHEMA "Möbel ""alt"""')
    odd = pa.table({'Prix "€"': [1, 2], "select": ["a", "b"], "한글 %s": [1.5, None]})
    result = load_parquet(bench.request(odd, '"Möbel ""alt"""."T; DROP x"', create=True))
    assert result.rows == 2
    assert bench.rows(
        'SELECT "Prix ""€""", "select", "한글 %s" FROM "Möbel ""alt"""."T; DROP x"'
    ) == [
        (1, "a", 1.5),
        (2, "b", None),
    ]
