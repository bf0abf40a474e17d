"""A process that dies inside a MySQL load: no transaction holds a RENAME, the ledger does."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jobu_core.config import HandlersSettings
from jobu_core.errors import LoadRefused
from jobu_core.handlers.registry import load_registry
from jobu_core.models import Status
from jobu_core.pipeline.load.mysql.loader import load_parquet, read_load
from jobu_core.pipeline.load.request import Mode, Outcome, Strategy
from tests.crash.audit import audit
from tests.crash.cases import Case
from tests.crash.children import die
from tests.crash.site import Site, execute
from tests.fix_aftermath import Aftermath
from tests.fix_store_time import StoreTime
from tests.load_bench import items
from tests.mysql_bench import DATABASE, MysqlBench

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jobu_core.execution.runtime import ExecutionRuntime
    from jobu_core.pipeline.load.request import LoadResult
    from tests.fix_mariadb import MariaDB

ITEMS = "(id bigint PRIMARY KEY, name varchar(40), value double)"
WAYS: Mapping[str, Mapping[str, Any]] = {
    "append": {},
    "insert": {},
    "delete": {"mode": Mode.REPLACE, "strategy": Strategy.DELETE},
    "swap": {"mode": Mode.REPLACE, "strategy": Strategy.SWAP},
    "create": {"create": True},
    "upsert": {"mode": Mode.UPSERT, "keys": ("id",)},
}
BEFORE: Mapping[str, int] = {"delete": 3, "swap": 3, "upsert": 3}
"""Rows that the table has, where it has any; the file has ten others."""


@dataclass(frozen=True)
class MysqlCase(Case):
    """A death inside a load, and whether readers saw the new rows by then."""

    how: str = "append"
    committed: bool = False


LOADS = (
    MysqlCase("mysql_manifest.created", (11, 14)),
    MysqlCase("mysql_load.older_attempts_ended", (11, 14)),
    MysqlCase("mysql_load.claimed", (11, 14)),
    MysqlCase("mysql_rows.chunk_sent", (11, 14)),
    MysqlCase("mysql_rows.ended", (11, 14)),
    MysqlCase("mysql_load.landed", (11, 14)),
    MysqlCase("mysql_load.manifest_finished", (11, 14)),
    MysqlCase("mysql_load.committed", (11, 14), committed=True),
    MysqlCase("mysql_rows.insert_sent", (11, 14), how="insert"),
    MysqlCase("mysql_load.committed", (11, 14), how="insert", committed=True),
    MysqlCase("mysql_load.emptied", (11, 14), how="delete"),
    MysqlCase("mysql_load.landed", (11, 14), how="delete"),
    MysqlCase("mysql_load.committed", (11, 14), how="delete", committed=True),
    MysqlCase("mysql_load.settled", (11, 14), how="swap"),
    MysqlCase("mysql_swap.ledger_created", (11, 14), how="swap"),
    MysqlCase("mysql_swap.noted", (11, 14), how="swap"),
    MysqlCase("mysql_swap.staged", (11, 14), how="swap"),
    MysqlCase("mysql_rows.chunk_sent", (11, 14), how="swap"),
    MysqlCase("mysql_swap.filled", (11, 14), how="swap"),
    MysqlCase("mysql_swap.ready", (11, 14), how="swap"),
    MysqlCase("mysql_swap.renamed", (11, 14), how="swap", committed=True),
    MysqlCase("mysql_swap.old_emptied", (11, 14), how="swap", committed=True),
    MysqlCase("mysql_swap.recorded", (11, 14), how="swap", committed=True),
    MysqlCase("mysql_swap.old_dropped", (11, 14), how="swap", committed=True),
    MysqlCase("mysql_swap.forgotten", (11, 14), how="swap", committed=True),
    MysqlCase("mysql_load.recorded", (11, 14), how="swap", committed=True),
    MysqlCase("mysql_swap.noted", (11, 14), how="create"),
    MysqlCase("mysql_swap.made", (11, 14), how="create"),
    MysqlCase("mysql_swap.filled", (11, 14), how="create"),
    MysqlCase("mysql_swap.ready", (11, 14), how="create"),
    MysqlCase("mysql_swap.made_renamed", (11, 14), how="create", committed=True),
    MysqlCase("mysql_swap.recorded", (11, 14), how="create", committed=True),
    MysqlCase("mysql_swap.old_dropped", (11, 14), how="create", committed=True),
    MysqlCase("mysql_load.recorded", (11, 14), how="create", committed=True),
    MysqlCase("mysql_upsert.staged", (11, 14), how="upsert"),
    MysqlCase("mysql_upsert.matched", (11, 14), how="upsert"),
    MysqlCase("mysql_upsert.changed", (11, 14), how="upsert"),
    MysqlCase("mysql_upsert.added", (11, 14), how="upsert"),
)


def case_name(case: MysqlCase) -> str:
    """Return how a case is called in the output."""
    return f"{case.point}-{case.how}"


def load(bench: MysqlBench, path: Path, how: str, attempt: int = 1) -> LoadResult:
    """Load the file; ``insert`` does it with LOCAL off."""
    url = bench.url + ("&local_infile=0" if how == "insert" else "")
    target = "made" if how == "create" else "items"
    return load_parquet(bench.request(path, target, url=url, attempt=attempt, **WAYS[how]))


@pytest.mark.parametrize("case", LOADS, ids=case_name)
def test_a_load_that_dies_is_whole_or_nothing(mysql_bench: MysqlBench, case: MysqlCase) -> None:
    """Readers see the old rows or the new ones; the next attempt loads once, or finds it done."""
    before = BEFORE.get(case.how, 0)
    table = "made" if case.how == "create" else "items"
    mysql_bench.run(f"CREATE TABLE items {ITEMS}")
    for number in (9, -1, -2)[:before]:
        mysql_bench.run(f"INSERT INTO items VALUES ({number}, 'old', 0)")  # noqa: S608 - ours
    path = mysql_bench.file(items(10))

    die(case, load, mysql_bench, path, case.how)
    if table in mysql_bench.tables():
        assert mysql_bench.count(table) == (10 if case.committed else before)
    else:
        assert not case.committed

    result = load(mysql_bench, path, case.how, attempt=2)
    assert result.outcome is (Outcome.ALREADY_LOADED if case.committed else Outcome.LOADED)
    kept = 2 if case.how == "upsert" else 0
    assert mysql_bench.count(table) == 10 + kept
    assert ("item 9",) in mysql_bench.rows(f"SELECT name FROM {table}")  # noqa: S608 - ours
    audit_mysql(mysql_bench, table, rows=10)


AGAIN = (
    MysqlCase("mysql_swap.unready", (11,), how="swap"),
    MysqlCase("mysql_swap.new_dropped", (11,), how="swap"),
)


@pytest.mark.parametrize("case", AGAIN, ids=case_name)
def test_a_death_while_taking_back_is_taken_back_too(
    mysql_bench: MysqlBench, case: MysqlCase
) -> None:
    """A missing new table must not be read as one that was renamed."""
    mysql_bench.run(f"CREATE TABLE items {ITEMS}")
    path = mysql_bench.file(items(10))
    die(MysqlCase("mysql_swap.ready", (11,)), load, mysql_bench, path, case.how)
    die(case, load, mysql_bench, path, case.how)
    assert mysql_bench.count("items") == 0
    key = mysql_bench.request(path).load_key
    assert read_load(mysql_bench.url, DATABASE, key) is None
    assert load(mysql_bench, path, case.how).outcome is Outcome.LOADED
    audit_mysql(mysql_bench, "items", rows=10)


GIVEN_BACK = (
    MysqlCase("mysql_swap.renamed", (11,), how="swap", committed=True),
    MysqlCase("mysql_swap.given_back", (11,), how="swap"),
)


@pytest.mark.parametrize("case", GIVEN_BACK, ids=case_name)
def test_a_death_while_names_are_given_back_is_given_back_too(
    mysql_bench: MysqlBench, mariadb: MariaDB, case: MysqlCase
) -> None:
    """A foreign key that the user cannot see follows the old table, and comes back with it."""
    other = f"{mysql_bench.schema}_other"
    mysql_bench.run(f"CREATE TABLE items {ITEMS}", "INSERT INTO items VALUES (1, 'old', 0)")
    mariadb.run(
        f"CREATE DATABASE {other}",
        f"CREATE TABLE {other}.child (id bigint,"
        f" FOREIGN KEY (id) REFERENCES {mysql_bench.schema}.items (id))",
        "CREATE USER blind@localhost",
        f"GRANT ALL ON {mysql_bench.schema}.* TO blind@localhost",
    )
    try:
        blind = MysqlBench(
            mariadb.url(mysql_bench.schema, user="blind"), mysql_bench.folder, mysql_bench.schema
        )
        path = blind.file(items(10))
        die(case, load, blind, path, case.how)
        assert read_load(blind.url, DATABASE, blind.request(path).load_key) is None
        with pytest.raises(LoadRefused, match="cannot see points at it"):
            load(blind, path, case.how, attempt=2)
        assert blind.rows("SELECT name FROM items") == [("old",)]
        audit_mysql(blind, "items", rows=0)
        ((_, child),) = mysql_bench.rows(f"SHOW CREATE TABLE {other}.child")
        assert f"REFERENCES `{mysql_bench.schema}`.`items`" in child
    finally:
        mariadb.run(f"DROP DATABASE {other}", "DROP USER blind@localhost")


@dataclass(frozen=True)
class MysqlSite(Site):
    """A project whose configuration also names a MySQL target."""

    mysql_url: str = ""

    @contextmanager
    def opened(self) -> Iterator[ExecutionRuntime]:
        """Open what attempts use; every table of the target may be loaded."""
        handlers = HandlersSettings(free_tables=(f"{DATABASE}.*.*",))
        with super().opened() as runtime:
            databases = {**runtime.databases, DATABASE: self.mysql_url}
            yield replace(runtime, databases=databases, registry=load_registry(handlers, {}))


class MysqlAftermath(Aftermath):
    """The part of the system that lives on, and its target."""

    site: MysqlSite

    def __init__(
        self, site: MysqlSite, runtime: ExecutionRuntime, now: StoreTime, bench: MysqlBench
    ) -> None:
        """Lay ten rows out as a file, and make the table that they go to."""
        super().__init__(site, runtime, now)
        self.bench = bench
        bench.folder = site.root / "data"
        bench.file(items(10))
        bench.run(f"CREATE TABLE items {ITEMS}")

    def params(self, how: str) -> dict[str, object]:
        """Return the params of db_loader."""
        return {
            "input_path": "/data/rows.parquet",
            "target_table": f"{DATABASE}.{self.bench.schema}.items",
            "mode": "replace" if how == "swap" else "append",
        }


@pytest.fixture
def mysql_aftermath(
    database_url: str, mysql_bench: MysqlBench, tmp_path: Path
) -> Iterator[MysqlAftermath]:
    """Return a system in which nothing has happened."""
    site = MysqlSite(database_url, tmp_path, mysql_bench.url)
    site.lay_out()
    with site.opened() as runtime:
        now = StoreTime(datetime.now(UTC))
        sa.event.listen(runtime.engine, "begin", now.apply)
        system = MysqlAftermath(site, runtime, now, mysql_bench)
        yield system
        system.lose_children()


LAST = (
    MysqlCase("mysql_load.manifest_finished", (11,)),
    MysqlCase("mysql_load.committed", (11,), committed=True),
    MysqlCase("mysql_swap.ready", (11,), how="swap"),
    MysqlCase("mysql_swap.renamed", (11,), how="swap", committed=True),
    MysqlCase("mysql_swap.recorded", (11,), how="swap", committed=True),
)


@pytest.mark.parametrize("case", LAST, ids=case_name)
def test_a_lost_last_attempt_is_what_the_tables_say(
    mysql_aftermath: MysqlAftermath, case: MysqlCase
) -> None:
    """SUCCESS if its rows are seen, the manifest completed; FAILED and no trace if not."""
    params = mysql_aftermath.params(case.how)
    batch = mysql_aftermath.launched("db_loader", params=params, max_attempts=1)
    die(case, execute, mysql_aftermath.site, batch)
    mysql_aftermath.settle()
    (row,) = mysql_aftermath.rows(batch)
    expected = (
        (Status.SUCCESS, "already_committed") if case.committed else (Status.FAILED, "worker_lost")
    )
    assert (row.status, row.reason) == expected
    assert mysql_aftermath.bench.count("items") == (10 if case.committed else 0)
    audit(mysql_aftermath.runtime.engine)
    audit_mysql(mysql_aftermath.bench, "items", rows=10 if case.committed else 0)


def audit_mysql(bench: MysqlBench, table: str, rows: int) -> None:
    """Fail unless the manifest has that load once, or none, and nothing lies beside the table."""
    assert bench.tables() == {"items", table}
    loads = bench.rows("SELECT `rows`, loaded_at IS NULL FROM jobu_loads")
    assert loads == ([(rows, 0)] if rows else [])
    if bench.rows("SHOW TABLES LIKE 'jobu_swaps'"):
        assert bench.count("jobu_swaps") == 0
