"""Upserts into PostgreSQL: which index will do, what a table may have, who waits for whom."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobu_core.errors import DataError, LoadRefused, SchemaMismatch, TargetBusy
from jobu_core.pipeline.load.manifest import advisory_key
from jobu_core.pipeline.load.postgres import load_parquet
from jobu_core.pipeline.load.request import Mode
from tests.load_bench import items, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from jobu_core.pipeline.load.request import LoadRequest, LoadResult
    from tests.load_bench import Bench

ITEMS: LiteralString = (
    "CREATE TABLE items (id bigint PRIMARY KEY, name text, value double precision)"
)
PLAIN: LiteralString = "CREATE TABLE items (id bigint, name text, value double precision)"


def upsert(bench: Bench, table: pa.Table | Path, **changes: Any) -> LoadRequest:  # noqa: ANN401 - fields of LoadRequest
    """Return a request that upserts by id."""
    return bench.request(table, mode=Mode.UPSERT, **{"keys": ("id",), **changes})


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE UNIQUE INDEX one_of ON items (id) WHERE value > 0",
        "CREATE INDEX one_of ON items (id)",
        "CREATE UNIQUE INDEX one_of ON items ((id + 1))",
        "CREATE UNIQUE INDEX one_of ON items (id, name)",
        "ALTER TABLE items ADD CONSTRAINT one_of UNIQUE (id) DEFERRABLE",
    ],
)
def test_an_index_that_conflicts_cannot_be_told_by_is_not_taken(
    bench: Bench, statement: LiteralString
) -> None:
    """Partial, not unique, of an expression, wider, deferrable."""
    bench.run(PLAIN, statement)
    with pytest.raises(SchemaMismatch, match=r'CREATE UNIQUE INDEX ON "public"."items" \("id"\)'):
        load_parquet(upsert(bench, items(3)))


def test_a_unique_index_that_includes_other_columns_will_do(bench: Bench) -> None:
    """What INCLUDE adds is not part of the key."""
    bench.run(PLAIN, "CREATE UNIQUE INDEX one_of ON items (id) INCLUDE (name)")
    assert load_parquet(upsert(bench, items(3))).rows == 3


def test_an_index_that_was_never_finished_is_not_taken(bench: Bench) -> None:
    """CREATE INDEX CONCURRENTLY leaves an invalid one when it fails."""
    bench.run(PLAIN, "INSERT INTO items VALUES (1, 'a', 1), (1, 'b', 1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        bench.run("CREATE UNIQUE INDEX CONCURRENTLY one_of ON items (id)")
    with pytest.raises(SchemaMismatch, match="unique index"):
        load_parquet(upsert(bench, items(3)))


def test_keys_that_the_type_takes_for_the_same_are_one_key(bench: Bench) -> None:
    """In the file as in the table, however they are written: zero has two signs."""
    bench.run(
        "CREATE TABLE items (id double precision PRIMARY KEY, n bigint)",
        "INSERT INTO items VALUES ('-0', 0)",
    )
    file = pa.table({"id": [0.0, 1.0, float("nan"), -0.0, float("nan")], "n": [1, 2, 3, 4, 5]})
    assert load_parquet(upsert(bench, file)).rows == 3
    assert bench.rows("SELECT n FROM items ORDER BY n") == [(2,), (4,), (5,)]


def test_generated_and_identity_columns_are_left_to_the_table(bench: Bench) -> None:
    """They may be missing in the file, and must be if nobody may give them."""
    bench.run(
        "CREATE TABLE items (nr bigint GENERATED ALWAYS AS IDENTITY, id bigint PRIMARY KEY,"
        " twice bigint GENERATED ALWAYS AS (id * 2) STORED, name text)",
        "INSERT INTO items (id, name) VALUES (1, 'old')",
    )
    load_parquet(upsert(bench, pa.table({"id": [2, 1], "name": ["two", "one"]})))
    assert bench.rows("SELECT id, twice, name FROM items ORDER BY id") == [
        (1, 2, "one"),
        (2, 4, "two"),
    ]
    assert bench.value("SELECT nr FROM items WHERE id = 1") == 1
    with pytest.raises(SchemaMismatch, match=r"'twice' is a generated.*'nr' is GENERATED ALWAYS"):
        load_parquet(upsert(bench, pa.table({"id": [1], "twice": [2], "nr": [1]}), execution_id=2))


def test_domains_enums_and_narrow_types_are_checked_while_staging(bench: Bench) -> None:
    """The temporary table has the target's own types."""
    bench.run(
        "CREATE DOMAIN small AS int CHECK (value < 10)",
        "CREATE TYPE colour AS ENUM ('red', 'blue')",
        "CREATE TABLE items (id small PRIMARY KEY, name colour, value numeric(4, 1))",
    )
    good = pa.table({"id": [1, 1], "name": ["red", "blue"], "value": [1, 2]})
    load_parquet(upsert(bench, good))
    assert bench.rows("SELECT id, name::text, value FROM items") == [(1, "blue", 2)]
    with pytest.raises(DataError, match="check violation"):
        load_parquet(upsert(bench, pa.table({**good.to_pydict(), "id": [1, 11]}), execution_id=2))


def test_another_unique_index_is_not_taken_for_the_keys(bench: Bench) -> None:
    """A row with somebody else's e-mail address is an error, and nothing is changed."""
    bench.run("CREATE TABLE items (id bigint PRIMARY KEY, name text CONSTRAINT own UNIQUE)")
    bench.run("INSERT INTO items VALUES (1, 'taken')")
    with pytest.raises(DataError, match="'own'"):
        load_parquet(upsert(bench, pa.table({"id": [1, 2], "name": ["new", "new"]})))
    assert bench.rows("SELECT * FROM items") == [(1, "taken")]


def test_a_trigger_that_drops_rows_fails_the_load(bench: Bench) -> None:
    """Nothing is silently skipped, and nothing of the load stays."""
    bench.run(
        ITEMS,
        "CREATE FUNCTION drop_two() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN IF new.id = 2 THEN RETURN NULL; END IF; RETURN new; END$$",
        "CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION drop_two()",
    )
    with pytest.raises(LoadRefused, match="3 keys in the file, 2 rows"):
        load_parquet(upsert(bench, items(3)))
    assert bench.count("items") == 0


def test_partitions_take_their_rows(bench: Bench) -> None:
    """Also those whose columns are laid out differently; new and old are not told apart."""
    bench.run(
        "CREATE TABLE items (id bigint, name text, value float8, PRIMARY KEY (id))"
        " PARTITION BY RANGE (id)",
        "CREATE TABLE low (gone int, name text, id bigint NOT NULL, value float8)",
        "ALTER TABLE low DROP COLUMN gone",
        "ALTER TABLE items ATTACH PARTITION low FOR VALUES FROM (0) TO (3)",
        "CREATE TABLE high PARTITION OF items FOR VALUES FROM (3) TO (100)",
        "INSERT INTO items VALUES (2, 'old', 0), (4, 'old', 0)",
    )
    result = load_parquet(upsert(bench, items(4)))
    assert result.rows == 4
    assert result.merged is not None
    assert (result.merged.inserted, result.merged.updated) == (None, None)
    assert bench.rows("SELECT count(*), count(*) FILTER (WHERE name = 'old') FROM items") == [
        (4, 0)
    ]


def test_two_upserts_take_turns(bench: Bench) -> None:
    """The second waits for the first before it looks at the table."""
    bench.run(ITEMS)
    done: list[LoadResult] = []
    with bench.session() as first:
        first.execute("SELECT pg_advisory_xact_lock(%s)", (advisory_key("target", "public.items"),))
        second = threading.Thread(target=lambda: done.append(load_parquet(upsert(bench, items(3)))))
        second.start()
        wait_until(lambda: bool(bench.value("SELECT count(*) FROM pg_locks WHERE NOT granted")))
        assert bench.count("items") == 0
        first.execute("INSERT INTO items VALUES (1, 'first', 0)")
        first.commit()
        second.join(10)
    (result,) = done
    assert result.merged is not None
    assert (result.merged.inserted, result.merged.updated) == (2, 1)


def test_a_row_that_somebody_holds_is_waited_for_a_bounded_time(bench: Bench) -> None:
    """Then the load is deferred, and nothing of it stays."""
    bench.run(ITEMS, "INSERT INTO items VALUES (2, 'held', 0)")
    with bench.session() as holder:
        holder.execute("UPDATE items SET value = 1 WHERE id = 2")
        with pytest.raises(TargetBusy):
            load_parquet(upsert(bench, items(3), lock_wait_seconds=0.1))
    assert bench.count("items") == 1
    assert bench.count("jobu_loads") == 0


def test_staging_leaves_nothing(bench: Bench) -> None:
    """No table, not even a temporary one, after a load and after a failed one."""
    bench.run(PLAIN, "CREATE UNIQUE INDEX ON items (id)")
    load_parquet(upsert(bench, items(3)))
    no_key = bench.folder / "no_key.parquet"
    nulls = pa.table({**items(3).to_pydict(), "id": [1, None, 2]})
    pq.write_table(nulls, no_key, write_statistics=False)
    with pytest.raises(DataError, match="'id' is null in 1 rows"):
        load_parquet(upsert(bench, no_key, execution_id=2))
    assert bench.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'jobu_upsert%'") == 0


def test_a_file_may_have_columns_with_our_names(bench: Bench) -> None:
    """The column that keeps the file's order gets out of the way."""
    bench.run("CREATE TABLE items (id bigint PRIMARY KEY, jobu_order bigint, jobu_order_1 bigint)")
    file = pa.table({"id": [1, 1], "jobu_order": [9, 8], "jobu_order_1": [7, 6]})
    load_parquet(upsert(bench, file))
    assert bench.rows("SELECT * FROM items") == [(1, 8, 6)]
