"""An upsert does the same to a table of each engine."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from jobu_core.errors import DataError, LoadRefused, SchemaMismatch
from jobu_core.pipeline.load.engine import load_parquet, preview_load
from jobu_core.pipeline.load.request import Mode, Outcome
from tests.load_bench import NOON, items

if TYPE_CHECKING:
    from jobu_core.pipeline.load.request import LoadRequest
    from tests.load_bench import Bench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(100), value double precision)"
OLD = "INSERT INTO items VALUES (1, 'old', 7), (2, 'old', 7)"
ALL = "SELECT id, name, value FROM items ORDER BY id"


@pytest.fixture(params=["bench", "mysql_bench"])
def target(request: pytest.FixtureRequest) -> Bench:
    """Return a bench on a PostgreSQL, and on a MariaDB."""
    found: Bench = request.getfixturevalue(request.param)
    return found


def upsert(
    target: Bench,
    table: pa.Table,
    *keys: str,
    **changes: Any,  # noqa: ANN401 - fields of LoadRequest
) -> LoadRequest:
    """Return a request that upserts by ``keys``."""
    return target.request(table, mode=Mode.UPSERT, keys=keys or ("id",), **changes)


def test_rows_with_known_keys_change_and_others_are_added(target: Bench) -> None:
    """Rows of the table that the file does not have stay as they are."""
    target.run(ITEMS, OLD)
    result = load_parquet(upsert(target, items(2, start=2)))
    assert (result.outcome, result.rows, result.strategy) == (Outcome.LOADED, 2, "upsert")
    assert result.merged is not None
    assert (result.merged.inserted, result.merged.updated) == (1, 1)
    assert target.rows(ALL) == [(1, "old", 7.0), (2, "item 2", 0.5), (3, "item 3", 0.75)]


def test_the_last_row_of_a_key_in_the_file_wins(target: Bench) -> None:
    """Whether the key was in the table or not; a later null wins too."""
    target.run(ITEMS, OLD)
    file = pa.table(
        {
            "id": [3, 1, 3, 1, 3],
            "name": ["a", "b", "c", None, "e"],
            "value": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    result = load_parquet(upsert(target, file))
    assert result.rows == 2
    assert target.rows(ALL) == [(1, None, 4.0), (2, "old", 7.0), (3, "e", 5.0)]


def test_many_rows_keep_their_order(target: Bench) -> None:
    """Also over several batches and rows of very different length."""
    target.run("CREATE TABLE wide (id bigint PRIMARY KEY, at bigint, name varchar(4000))")
    count = 40_000
    file = pa.table(
        {
            "id": [at % 1000 for at in range(count)],
            "at": list(range(count)),
            "name": ["x" * (at * 7919 % 3000) if at % 50 == 0 else "y" for at in range(count)],
        }
    )
    asked = target.request(file, "wide", mode=Mode.UPSERT, keys=("id",))
    assert load_parquet(asked).rows == 1000
    assert target.value("SELECT min(at) FROM wide") == count - 1000
    assert target.value("SELECT count(*) FROM wide WHERE at % 1000 = id") == 1000


def test_several_keys_in_any_order_and_odd_names(target: Bench, request: Any) -> None:  # noqa: ANN401 - pytest's own
    """The index may name the columns in another order than ``keys``."""
    quote = "`" if "mysql" in request.node.callspec.id else '"'
    target.run(
        f"CREATE TABLE items ({quote}a b{quote} bigint, {quote}Käse{quote} varchar(10),"
        f" {quote}select{quote} bigint, UNIQUE ({quote}a b{quote}, {quote}Käse{quote}))"
    )
    first = pa.table({"Käse": ["x", "y"], "a b": [1, 1], "select": [1, 2]})
    load_parquet(upsert(target, first, "Käse", "a b"))
    second = pa.table({"Käse": ["y", "z"], "a b": [1, 1], "select": [3, 4]})
    result = load_parquet(upsert(target, second, "Käse", "a b", execution_id=2))
    assert result.merged is not None
    assert (result.merged.inserted, result.merged.updated) == (1, 1)
    assert target.count("items") == 3


def test_a_table_of_nothing_but_keys_gains_what_it_lacks(target: Bench) -> None:
    """There is nothing to change in a row that is there."""
    target.run("CREATE TABLE pairs (a bigint, b bigint, UNIQUE (a, b))")
    target.run("INSERT INTO pairs VALUES (1, 1)")
    file = pa.table({"a": [1, 1, 1], "b": [1, 2, 2]})
    result = load_parquet(target.request(file, "pairs", mode=Mode.UPSERT, keys=("a", "b")))
    assert (result.rows, target.count("pairs")) == (2, 2)
    assert result.merged is not None
    assert (result.merged.inserted, result.merged.updated) == (1, 0)


def test_columns_that_are_not_in_the_file_keep_their_values(target: Bench) -> None:
    """New rows have the default there."""
    target.run("CREATE TABLE items (id bigint PRIMARY KEY, name varchar(9), n bigint DEFAULT 5)")
    target.run("INSERT INTO items VALUES (1, 'old', 9)")
    load_parquet(upsert(target, pa.table({"id": [1, 2], "name": ["new", "new"]})))
    assert target.rows("SELECT * FROM items ORDER BY id") == [(1, "new", 9), (2, "new", 5)]


def test_null_keys_are_refused_and_counted(target: Bench) -> None:
    """By the column's name; the table stays as it was."""
    target.run("CREATE TABLE items (id bigint UNIQUE, name varchar(9))")
    asked = upsert(target, pa.table({"id": [1, None, None], "name": ["a", "b", "c"]}))
    with pytest.raises(DataError, match=r"'id' is null in 2 rows"):
        load_parquet(asked)
    assert "'id' is null in 2 rows" in preview_load(asked).problems[0]
    assert target.count("items") == 0


def test_without_a_unique_index_the_error_says_which_to_make(target: Bench) -> None:
    """The statement is one that can be executed; preview and load refuse alike."""
    target.run("CREATE TABLE items (id bigint, name varchar(40), value double precision)")
    target.run("CREATE UNIQUE INDEX wider ON items (id, value)")
    asked = upsert(target, items(3))
    with pytest.raises(SchemaMismatch, match="unique index on exactly its keys") as refused:
        load_parquet(asked)
    assert str(refused.value) == preview_load(asked).problems[0]
    target.run(str(refused.value).rpartition(": ")[2])
    assert preview_load(asked).problems == ()
    assert load_parquet(asked).rows == 3


def test_keys_that_file_or_table_lack_are_named(target: Bench) -> None:
    """All of them at once."""
    target.run(ITEMS)
    asked = upsert(target, items(1), "id", "nam")
    with pytest.raises(SchemaMismatch, match=r"'nam' is not in the file.*'nam' is not in the tab"):
        load_parquet(asked)
    assert "did you mean 'name'" in preview_load(asked).problems[0]


def test_an_upsert_without_keys_is_refused(target: Bench) -> None:
    """Whether the table is there or not."""
    asked = target.request(items(1), mode=Mode.UPSERT, create=True)
    with pytest.raises(LoadRefused, match="needs keys"):
        load_parquet(asked)
    target.run(ITEMS)
    with pytest.raises(LoadRefused, match="needs keys"):
        load_parquet(asked)


def test_a_missing_table_is_made_with_its_keys(target: Bench) -> None:
    """The file may have a key twice even then, and the next load finds the index."""
    file = pa.table({"id": [1, 2, 1], "name": ["a", "b", "c"]})
    first = load_parquet(upsert(target, file, create=True))
    assert (first.strategy, first.rows) == ("create", 2)
    again = load_parquet(upsert(target, file, create=True, execution_id=2))
    assert (again.strategy, again.rows) == ("upsert", 2)
    assert target.rows("SELECT id, name FROM items ORDER BY id") == [(1, "c"), (2, "b")]


def test_an_older_upsert_is_not_stale(target: Bench) -> None:
    """Stale is only a replace."""
    target.run(ITEMS)
    load_parquet(upsert(target, items(2)))
    before = NOON - dt.timedelta(days=1)
    older = upsert(target, items(1, prefix="older"), execution_id=2, effective_time=before)
    assert load_parquet(older).outcome is Outcome.LOADED
    assert target.value("SELECT name FROM items WHERE id = 1") == "older 1"


def test_an_attempt_after_the_commit_finds_the_upsert_done(target: Bench) -> None:
    """The manifest has the mode and the distinct keys."""
    target.run(ITEMS)
    load_parquet(upsert(target, items(5)))
    again = load_parquet(upsert(target, items(5), attempt=2))
    assert (again.outcome, again.mode, again.rows) == (Outcome.ALREADY_LOADED, "upsert", 5)
