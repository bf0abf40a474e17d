"""Rows that carry their load's id, and loads that are taken back by it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, LiteralString

import pyarrow as pa
import pytest

from jobu_core.errors import Conflict, LoadRefused, NotFound, SchemaMismatch
from jobu_core.pipeline.load.engine import load_parquet, preview_load, read_load
from jobu_core.pipeline.load.history import list_loads
from jobu_core.pipeline.load.manifest import advisory_key
from jobu_core.pipeline.load.request import Mode, Outcome, SchemaPolicy, Strategy
from jobu_core.pipeline.load.undo import undo_load
from tests.load_bench import NOON, items, wait_until

if TYPE_CHECKING:
    from jobu_core.pipeline.load.undo import Undone
    from tests.load_bench import Bench
    from tests.mysql_bench import MysqlBench

ITEMS: LiteralString = (
    "CREATE TABLE items (id bigint PRIMARY KEY, name text, value double precision,"
    " _jobu_load_id bigint)"
)
PER_LOAD: LiteralString = "SELECT _jobu_load_id, count(*) FROM items GROUP BY 1 ORDER BY 1"


def undo(bench: Bench, load_id: int | None) -> Undone:
    """Take a load back."""
    assert load_id is not None
    return undo_load(bench.url, "default", load_id, who="ann")


@pytest.mark.parametrize("strategy", [Strategy.SWAP, Strategy.DELETE])
def test_a_table_with_the_column_has_it_filled_by_every_load(
    bench: Bench, strategy: Strategy
) -> None:
    """Nobody has to ask for it; an upsert takes the rows that it changes."""
    bench.run(ITEMS)
    first = load_parquet(bench.request(items(3))).load_id
    assert bench.rows(PER_LOAD) == [(first, 3)]
    merged = bench.request(items(2, start=3), mode=Mode.UPSERT, keys=("id",), execution_id=2)
    second = load_parquet(merged).load_id
    assert bench.rows(PER_LOAD) == [(first, 2), (second, 2)]
    replace = bench.request(items(5), mode=Mode.REPLACE, strategy=strategy, execution_id=3)
    third = load_parquet(replace).load_id
    assert bench.rows(PER_LOAD) == [(third, 5)]


def test_the_column_is_made_with_the_table(bench: Bench) -> None:
    """If that was asked for."""
    asked = bench.request(items(3), create=True, load_id_column=True)
    assert preview_load(asked).problems == ()
    assert bench.rows("SELECT 1 FROM pg_class WHERE relname = 'items'") == []
    made = load_parquet(asked)
    assert bench.rows(PER_LOAD) == [(made.load_id, 3)]
    load_parquet(bench.request(items(3), "others", create=True, execution_id=2))
    with pytest.raises(Exception, match="_jobu_load_id"):
        bench.run("SELECT _jobu_load_id FROM others")


def test_the_column_is_added_only_where_columns_may_be(bench: Bench) -> None:
    """Rows that were there have none, and their load cannot be undone."""
    bench.run("CREATE TABLE items (id bigint, name text, value double precision)")
    old = load_parquet(bench.request(items(2)))
    asked = bench.request(items(3), load_id_column=True, execution_id=2)
    with pytest.raises(SchemaMismatch, match="on_new_column: add"):
        load_parquet(asked)
    assert "on_new_column: add" in preview_load(asked).problems[0]
    policy = SchemaPolicy(on_new="add")
    new = load_parquet(bench.request(items(3), load_id_column=True, policy=policy, execution_id=2))
    assert new.changes.added == ("_jobu_load_id",)
    assert bench.rows(PER_LOAD) == [(new.load_id, 3), (None, 2)]
    with pytest.raises(Conflict, match="did not mark its rows"):
        undo(bench, old.load_id)


@pytest.mark.parametrize("kind", ["int", "bigint GENERATED ALWAYS AS (id) STORED", "text"])
def test_a_column_that_cannot_be_filled_is_refused(bench: Bench, kind: LiteralString) -> None:
    """It has the name and is something else."""
    bench.run("CREATE TABLE items (id bigint, _jobu_load_id " + kind + ")")
    with pytest.raises(SchemaMismatch, match="a plain bigint only"):
        load_parquet(bench.request(pa.table({"id": [1]})))


def test_a_file_may_not_bring_the_column(bench: Bench) -> None:
    """Its rows would pass for another load's."""
    bench.run(ITEMS)
    file = items(1).append_column("_jobu_load_id", pa.array([7]))
    with pytest.raises(SchemaMismatch, match="which jobu fills itself"):
        load_parquet(bench.request(file))


def test_mysql_does_not_mark_rows(mysql_bench: MysqlBench) -> None:
    """Neither is a column made, nor a load undone; both say so."""
    asked = mysql_bench.request(items(1), create=True, load_id_column=True)
    with pytest.raises(LoadRefused, match="PostgreSQL only"):
        load_parquet(asked)
    assert "PostgreSQL only" in preview_load(asked).problems[0]
    with pytest.raises(Conflict, match="do not mark their rows"):
        undo_load(mysql_bench.url, "warehouse", 1, who="ann")


def test_an_undo_takes_the_rows_of_one_load(bench: Bench) -> None:
    """Rows that are gone already, or belong to a later upsert, are not counted."""
    bench.run(ITEMS)
    first = load_parquet(bench.request(items(5))).load_id
    second = load_parquet(bench.request(items(5, start=6), execution_id=2)).load_id
    upsert = bench.request(items(1, start=10), mode=Mode.UPSERT, keys=("id",), execution_id=3)
    third = load_parquet(upsert).load_id
    bench.run("DELETE FROM items WHERE id = 6")
    done = undo(bench, second)
    assert (done.target, done.loaded, done.deleted) == ("default.public.items", 5, 3)
    assert bench.rows(PER_LOAD) == [(first, 5), (third, 1)]
    told = {each.load_id: each for each in list_loads(bench.url, "default")}
    assert second is not None
    assert (told[second].undone_by, told[second].undone_rows) == ("ann", 3)
    assert told[second].undone_at is not None


def test_an_undone_load_is_not_undone_again(bench: Bench) -> None:
    """It says who did it."""
    bench.run(ITEMS)
    load_id = load_parquet(bench.request(items(5))).load_id
    undo(bench, load_id)
    with pytest.raises(Conflict, match="undone already, by ann"):
        undo(bench, load_id)


def test_no_attempt_of_the_same_execution_brings_the_rows_back(bench: Bench) -> None:
    """A new execution does; to the reconciler the undone load did not happen."""
    bench.run(ITEMS)
    asked = bench.request(items(5))
    undo(bench, load_parquet(asked).load_id)
    assert read_load(bench.url, "default", asked.chain_key) is None
    with pytest.raises(LoadRefused, match="was undone; a new execution"):
        load_parquet(bench.request(items(5), attempt=2))
    assert bench.count("items") == 0
    assert load_parquet(bench.request(items(5), execution_id=2)).outcome is Outcome.LOADED


def test_content_that_was_undone_may_be_loaded_again(bench: Bench) -> None:
    """By another execution; and then it counts as loaded once more."""
    bench.run(ITEMS)
    undo(bench, load_parquet(bench.request(items(5), content="c1")).load_id)
    with pytest.raises(LoadRefused, match="was undone"):
        load_parquet(bench.request(items(5), content="c1", attempt=2))
    again = load_parquet(bench.request(items(5), content="c1", execution_id=2))
    assert again.outcome is Outcome.LOADED
    third = load_parquet(bench.request(items(5), content="c1", execution_id=3))
    assert (third.outcome, third.load_id) == (Outcome.ALREADY_LOADED, again.load_id)
    undo(bench, again.load_id)
    assert load_parquet(bench.request(items(5), content="c1", execution_id=4)).rows == 5


def test_an_undone_load_makes_no_replace_stale(bench: Bench) -> None:
    """Its rows are not there to be newer."""
    bench.run(ITEMS)
    newest = bench.request(items(5), effective_time=NOON.replace(year=2027))
    undo(bench, load_parquet(newest).load_id)
    older = bench.request(items(2), mode=Mode.REPLACE, execution_id=2)
    assert load_parquet(older).outcome is Outcome.LOADED


def test_what_cannot_be_undone_says_why(bench: Bench) -> None:
    """Unknown loads, upserts, replaces, and what a replace has taken away."""
    with pytest.raises(NotFound, match="has seen no load"):
        undo(bench, 1)
    bench.run(ITEMS)
    append = load_parquet(bench.request(items(5))).load_id
    upsert = bench.request(items(1), mode=Mode.UPSERT, keys=("id",), execution_id=2)
    with pytest.raises(Conflict, match="was an upsert"):
        undo(bench, load_parquet(upsert).load_id)
    replace = load_parquet(bench.request(items(5), mode=Mode.REPLACE, execution_id=3)).load_id
    with pytest.raises(Conflict, match=f"load {append} was replaced by load {replace}"):
        undo(bench, append)
    with pytest.raises(Conflict, match="replaced the table"):
        undo(bench, replace)
    with pytest.raises(NotFound, match="no load 99"):
        undo(bench, 99)
    assert bench.count("items") == 5


def test_rows_that_others_depend_on_stay(bench: Bench) -> None:
    """A cascade would change a table that nobody named; a plain foreign key refuses."""
    bench.run(ITEMS, "CREATE TABLE child (item bigint REFERENCES items ON DELETE CASCADE)")
    load_id = load_parquet(bench.request(items(5))).load_id
    with pytest.raises(LoadRefused, match="child"):
        undo(bench, load_id)
    assert bench.count("items") == 5


def test_a_table_or_column_that_is_gone_is_told(bench: Bench) -> None:
    """There is nothing left to take back."""
    bench.run(ITEMS)
    load_id = load_parquet(bench.request(items(5))).load_id
    bench.run("ALTER TABLE items DROP COLUMN _jobu_load_id")
    with pytest.raises(Conflict, match="no column _jobu_load_id any more"):
        undo(bench, load_id)
    bench.run("DROP TABLE items")
    with pytest.raises(Conflict, match="does not exist any more"):
        undo(bench, load_id)


def test_an_undo_waits_for_a_replace_and_then_sees_it(bench: Bench) -> None:
    """It must not delete by ids that the swapped-in table does not hold."""
    bench.run(ITEMS)
    load_id = load_parquet(bench.request(items(5))).load_id
    refused: list[BaseException] = []

    def try_undo() -> None:
        try:
            undo(bench, load_id)
        except Conflict as error:
            refused.append(error)

    with bench.session() as replacing:
        replacing.execute(
            "SELECT pg_advisory_xact_lock(%s)", (advisory_key("target", "public.items"),)
        )
        waiting = threading.Thread(target=try_undo)
        waiting.start()
        wait_until(lambda: bool(bench.value("SELECT count(*) FROM pg_locks WHERE NOT granted")))
        replacing.execute(
            "INSERT INTO jobu_loads (load_key, target, mode, params_sha256, execution_id,"
            " effective_time) VALUES ('k', 'public.items', 'replace', '', 9, now())"
        )
        replacing.commit()
        waiting.join(10)
    assert "was replaced by load" in str(refused[0])
    assert bench.count("items") == 5


def test_loads_are_listed_newest_first_for_each_engine(
    bench: Bench, mysql_bench: MysqlBench
) -> None:
    """Those of one table if asked; also from a manifest that an older jobu made."""
    assert list_loads(bench.url, "default") == []
    assert list_loads(mysql_bench.url, "warehouse") == []
    for target, database in ((bench, "default"), (mysql_bench, "warehouse")):
        for at, table in enumerate(("items", "others", "items"), start=1):
            asked = target.request(items(at), table, create=True, execution_id=at)
            load_parquet(asked)
        found = list_loads(target.url, database)
        assert [(each.load_id, each.rows, each.execution_id) for each in found] == [
            (3, 3, 3),
            (2, 2, 2),
            (1, 1, 1),
        ]
        assert found[0].effective_time == NOON
        assert found[0].loaded_at is not None
        assert found[0].loaded_at.tzinfo is not None
        named = list_loads(target.url, database, target=asked.target, limit=1)
        assert [each.load_id for each in named] == [3]
        target.run("ALTER TABLE jobu_loads DROP COLUMN chain_key")
        assert len(list_loads(target.url, database, target=asked.target)) == 2
