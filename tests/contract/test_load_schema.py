"""What becomes of columns that only the file or only the table has, for each engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
import pytest

from jobu_core.errors import SchemaMismatch, TargetBusy
from jobu_core.pipeline.load.columns import compare_columns, read_columns
from jobu_core.pipeline.load.engine import load_parquet, preview_load
from jobu_core.pipeline.load.identifiers import parse_table
from jobu_core.pipeline.load.request import Mode, SchemaChanges, SchemaPolicy, Strategy
from jobu_core.pipeline.load.table import require_table

if TYPE_CHECKING:
    from tests.load_bench import Bench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(20), must bigint NOT NULL)"
WAYS: list[dict[str, Any]] = [
    {},
    {"mode": Mode.REPLACE, "strategy": Strategy.SWAP},
    {"mode": Mode.REPLACE, "strategy": Strategy.DELETE},
    {"mode": Mode.UPSERT, "keys": ("id",)},
]
ADD, IGNORE = SchemaPolicy(on_new="add"), SchemaPolicy(on_new="ignore")
NULL = SchemaPolicy(on_missing="null")


@pytest.fixture(params=["bench", "mysql_bench"])
def target(request: pytest.FixtureRequest) -> Bench:
    """Return a bench on a PostgreSQL, and on a MariaDB."""
    found: Bench = request.getfixturevalue(request.param)
    return found


def rows(**more: Any) -> pa.Table:  # noqa: ANN401 - lists
    """Return two rows that fit the table, with these columns in place or besides."""
    return pa.table({"id": [1, 2], "name": ["a", "b"], "must": [1, 2], **more})


def columns(target: Bench) -> list[str]:
    """Return the names of the table's columns, in order."""
    return [
        name
        for (name,) in target.rows(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'items'"
            " AND table_schema NOT LIKE 'pg%' ORDER BY ordinal_position"
        )
    ]


@pytest.mark.parametrize("way", WAYS)
def test_new_columns_are_added(target: Bench, way: dict[str, Any]) -> None:
    """Nullable, with the type that a made table would have; old rows have null there."""
    target.run(ITEMS, "INSERT INTO items VALUES (9, 'old', 9)")
    file = rows(**{"price €": [1.5, None], "note": ["x", "y"]})
    asked = target.request(file, policy=ADD, **way)
    found = preview_load(asked)
    assert found.problems == ()
    told = {each.name: each.column for each in found.columns}
    assert (told["price €"], told["note"]) in {
        ("double precision", "text"),
        ("double", "longtext"),
    }
    assert columns(target) == ["id", "name", "must"], "a preview adds nothing"
    result = load_parquet(asked)
    assert result.changes == SchemaChanges(added=("price €", "note"))
    assert columns(target) == ["id", "name", "must", "price €", "note"]
    assert target.rows("SELECT id, note FROM items WHERE id < 9 ORDER BY id") == [
        (1, "x"),
        (2, "y"),
    ]
    kept = target.rows("SELECT note FROM items WHERE id = 9")
    assert kept == ([] if way.get("mode") is Mode.REPLACE else [(None,)])


@pytest.mark.parametrize("way", WAYS)
def test_new_columns_are_ignored(target: Bench, way: dict[str, Any]) -> None:
    """And told in the result."""
    target.run(ITEMS)
    asked = target.request(rows(extra=[1, 2], other=[True, False]), policy=IGNORE, **way)
    told = {each.name: each.wire for each in preview_load(asked).columns}
    assert told["extra"] is None
    result = load_parquet(asked)
    assert result.changes == SchemaChanges(ignored=("extra", "other"))
    assert target.rows("SELECT * FROM items ORDER BY id") == [(1, "a", 1), (2, "b", 2)]


@pytest.mark.parametrize("way", WAYS)
def test_a_missing_column_that_takes_null_is_left_out(target: Bench, way: dict[str, Any]) -> None:
    """New rows have null there; a row that an upsert changes keeps what it has."""
    target.run(ITEMS, "INSERT INTO items VALUES (1, 'kept', 9)")
    file = rows().select(["id", "must"])
    if not way:
        target.run("DELETE FROM items")
    asked = target.request(file, policy=NULL, **way)
    assert preview_load(asked).problems == ()
    assert load_parquet(asked).changes == SchemaChanges(left_out=("name",))
    kept = "kept" if way.get("mode") is Mode.UPSERT else None
    assert target.rows("SELECT * FROM items ORDER BY id") == [(1, kept, 1), (2, None, 2)]


def test_a_default_comes_before_null(target: Bench) -> None:
    """A column with a default may be missing whatever the policy says."""
    target.run("CREATE TABLE items (id bigint, kind varchar(9) DEFAULT 'new', note varchar(9))")
    file = pa.table({"id": [1]})
    with pytest.raises(SchemaMismatch) as refused:
        load_parquet(target.request(file))
    assert "'note' of the table" in str(refused.value)
    assert "'kind'" not in str(refused.value)
    assert "on_missing_column" in str(refused.value)
    load_parquet(target.request(file, policy=NULL))
    assert target.rows("SELECT * FROM items") == [(1, "new", None)]


def test_what_the_policy_does_not_allow_is_told_at_once(target: Bench) -> None:
    """A missing NOT NULL column and a wrong type, beside columns that would be added."""
    target.run(ITEMS)
    file = pa.table({"id": ["x"], "fresh": [1]})
    policy = SchemaPolicy(on_new="add", on_missing="null")
    asked = target.request(file, policy=policy)
    with pytest.raises(SchemaMismatch) as refused:
        load_parquet(asked)
    problems = preview_load(asked).problems
    assert len(problems) == 2
    assert all(each in str(refused.value) for each in problems)
    assert "'must' of the table is not in the file, and is NOT NULL" in problems
    assert columns(target) == ["id", "name", "must"], "nothing was added"


def test_a_type_without_a_column_type_cannot_be_added(target: Bench) -> None:
    """It is a difference like the others."""
    target.run("CREATE TABLE items (id bigint)")
    file = pa.table({"id": [1], "big": pa.array([1], pa.uint64())})
    with pytest.raises(SchemaMismatch, match="'big' cannot be added"):
        load_parquet(target.request(file, policy=ADD))


def test_a_file_that_shares_no_column_is_refused(target: Bench) -> None:
    """Ignoring all of it would load rows of nulls."""
    target.run("CREATE TABLE items (id bigint, n bigint)")
    policy = SchemaPolicy(on_new="ignore", on_missing="null")
    with pytest.raises(SchemaMismatch, match="no column is in both"):
        load_parquet(target.request(pa.table({"x": [1]}), policy=policy))


def test_the_next_file_finds_the_column_that_was_added(target: Bench) -> None:
    """And one without it is refused, as its rows would lack something."""
    target.run(ITEMS)
    load_parquet(target.request(rows(note=["x", "y"]), policy=ADD))
    more = pa.table({"id": [3], "name": ["c"], "must": [3], "note": ["z"]})
    again = load_parquet(target.request(more, policy=ADD, execution_id=2))
    assert again.changes == SchemaChanges()
    assert target.count("items") == 3
    with pytest.raises(SchemaMismatch, match="'note' of the table is not in the file"):
        load_parquet(target.request(rows(), policy=ADD, execution_id=3))


def test_a_column_that_vanished_after_the_look_is_not_left_behind(bench: Bench) -> None:
    """Its cells would be lost without a word: the load is tried again later."""
    bench.run(ITEMS)
    with psycopg.connect(bench.url, autocommit=True) as connection:
        there = read_columns(connection, require_table(connection, parse_table("items")).oid)
    found = compare_columns(rows(gone=[1, 2]).schema, {}, there, ADD)
    found.insist("items")
    with pytest.raises(TargetBusy, match="altered while it was loaded"):
        found.sendable("items")
