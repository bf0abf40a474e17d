"""A process that dies while it alters the tables of an older jobu: nothing of them is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString

import pytest

from jobu_core.pipeline.load.engine import load_parquet, read_load
from jobu_core.pipeline.load.request import Outcome
from tests.crash.cases import Case
from tests.crash.children import die
from tests.load_bench import items

if TYPE_CHECKING:
    from pathlib import Path

    from jobu_core.pipeline.load.request import LoadResult
    from tests.load_bench import Bench
    from tests.mysql_bench import MysqlBench

ITEMS: LiteralString = "CREATE TABLE items (id bigint, name varchar(40), value double precision)"
OLDER: LiteralString = (
    "ALTER TABLE jobu_loads DROP COLUMN chain_key, DROP COLUMN stamped,"
    " DROP COLUMN undone_at, DROP COLUMN undone_by, DROP COLUMN undone_rows"
)

ALTERED = (Case("manifest.columns_added", (11,)),)
MYSQL_ALTERED = (Case("mysql_manifest.column_added", (11,)),)


def load(bench: Bench, path: Path, execution: int, table: str = "items") -> LoadResult:
    """Append the file by an execution."""
    return load_parquet(bench.request(path, table, execution_id=execution, create=True))


@pytest.mark.parametrize("case", ALTERED, ids=str)
def test_an_older_manifest_is_altered_or_left_as_it_was(bench: Bench, case: Case) -> None:
    """What it says is read before and after, and its keys stay taken."""
    bench.run(ITEMS)
    path = bench.file(items(10))
    load(bench, path, 1)
    bench.run(OLDER)
    key = bench.request(path, execution_id=1).load_key

    die(case, load, bench, path, 2)
    found = read_load(bench.url, "default", key)
    assert found is not None
    assert found.rows == 10

    assert load(bench, path, 1).outcome is Outcome.ALREADY_LOADED
    assert load(bench, path, 2).outcome is Outcome.LOADED
    assert bench.count("items") == 20


@pytest.mark.parametrize("case", MYSQL_ALTERED, ids=str)
def test_an_older_mysql_manifest_keeps_its_loads(mysql_bench: MysqlBench, case: Case) -> None:
    """The column is added at once; whoever comes next finds it there."""
    mysql_bench.run(ITEMS)
    path = mysql_bench.file(items(10))
    load(mysql_bench, path, 1)
    mysql_bench.run("ALTER TABLE jobu_loads DROP COLUMN chain_key")
    key = mysql_bench.request(path, execution_id=1).load_key
    assert read_load(mysql_bench.url, "warehouse", key) is not None

    die(case, load, mysql_bench, path, 2)
    assert load(mysql_bench, path, 1).outcome is Outcome.ALREADY_LOADED
    assert load(mysql_bench, path, 2).outcome is Outcome.LOADED
    assert mysql_bench.count("items") == 20
