"""The doctor looks at load targets: what would stop a load is named, with what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from jobu_core.config import load_settings
from jobu_core.pipeline.load.engine import examine_target, load_parquet, sweep
from jobu_core.pipeline.load.health import Wanted
from jobu_core.pipeline.load.identifiers import parse_table
from jobu_core.pipeline.load.mysql import swap_ledger
from jobu_core.pipeline.load.mysql.session import open_session
from jobu_core.pipeline.load.request import Mode
from jobu_core.services.doctor import examine
from tests.load_bench import items
from tests.mysql_bench import DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobu_core.pipeline.load.mysql.session import Session
    from tests.fix_mariadb import MariaDB
    from tests.load_bench import Bench
    from tests.mysql_bench import MysqlBench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(100), value double)"


def wanted(bench: MysqlBench, mode: Mode = Mode.REPLACE, table: str = "items") -> Wanted:
    """Return a dataset's wish."""
    return Wanted(parse_table(f"{DATABASE}.{bench.schema}.{table}"), mode)


def problems(url: str, *tables: Wanted) -> list[str]:
    """Return what the doctor finds."""
    return [each.found for each in examine_target(url, DATABASE, tables).problems]


@pytest.fixture
def dead_swap(mysql_bench: MysqlBench) -> MysqlBench:
    """Leave a new table beside ``items`` as a load does that dies."""
    mysql_bench.run(ITEMS, "INSERT INTO items VALUES (1, 'old', 0)")
    request = mysql_bench.request(items(3), mode=Mode.REPLACE)
    with open_session(mysql_bench.url, DATABASE) as session:
        swap = swap_ledger.note_swap(session, request, definition="any")
        mysql_bench.run(f"CREATE TABLE `{swap.new.table}` LIKE items")
    return mysql_bench


@pytest.fixture
def loader(mysql_bench: MysqlBench, mariadb: MariaDB) -> Iterator[str]:
    """Return the URL of a user who may only look at tables."""
    mariadb.run(
        "CREATE USER looker@localhost",
        f"GRANT SELECT ON {mysql_bench.schema}.* TO looker@localhost",
    )
    yield mariadb.url(mysql_bench.schema, user="looker")
    mariadb.run("DROP USER looker@localhost")


def test_a_mysql_target_that_is_fine(mysql_bench: MysqlBench) -> None:
    """Version and wire are told, nothing is made, nothing is wrong."""
    mysql_bench.run(ITEMS)
    found = examine_target(mysql_bench.url, DATABASE, [wanted(mysql_bench)])
    assert found.problems == ()
    assert found.facts.startswith("MariaDB 10.")
    assert found.facts.endswith("rows travel by LOAD DATA LOCAL")
    assert mysql_bench.tables() == {"items"}
    off = examine_target(mysql_bench.url + "&local_infile=0", DATABASE, [])
    assert "INSERT (local_infile is off in the URL)" in off.facts


def test_a_server_that_allows_no_local_infile_is_told(
    mysql_bench: MysqlBench, mariadb: MariaDB
) -> None:
    """It works, by INSERT; the person should know why it is slow."""
    mariadb.run("SET GLOBAL local_infile = 0")
    try:
        found = examine_target(mysql_bench.url, DATABASE, [])
    finally:
        mariadb.run("SET GLOBAL local_infile = 1")
    assert "INSERT (local_infile is off at the server)" in found.facts


def test_a_server_that_is_read_only_or_takes_little(
    mysql_bench: MysqlBench, mariadb: MariaDB
) -> None:
    """Both stop loads."""
    mariadb.run("SET GLOBAL read_only = 1", "SET GLOBAL max_allowed_packet = 65536")
    try:
        found = problems(mysql_bench.url)
    finally:
        mariadb.run("SET GLOBAL read_only = 0", "SET GLOBAL max_allowed_packet = 16777216")
    assert found == ["the server is read-only", "max_allowed_packet is 65536 bytes"]


def test_tables_that_cannot_be_loaded(mysql_bench: MysqlBench) -> None:
    """Another engine, a view."""
    mysql_bench.run("CREATE TABLE mem (id bigint) ENGINE=MEMORY", "CREATE VIEW v AS SELECT 1 AS a")
    tables = (wanted(mysql_bench, table="mem"), wanted(mysql_bench, table="v"))
    engine, view = problems(mysql_bench.url, *tables)
    assert "is kept by MEMORY" in engine
    assert "is a view" in view


def test_missing_rights_are_named(mysql_bench: MysqlBench, mariadb: MariaDB, loader: str) -> None:
    """Of the manifest and of each table, by what its mode needs."""
    assert problems(loader, wanted(mysql_bench)) == [
        f"{mysql_bench.schema}.jobu_loads is missing and may not be made",
        f"{DATABASE}.{mysql_bench.schema}.items does not exist and may not be made",
    ]
    mysql_bench.run(ITEMS)
    load_parquet(mysql_bench.request(items(1)))
    assert problems(loader, wanted(mysql_bench), wanted(mysql_bench, Mode.UPSERT)) == [
        f"no INSERT, UPDATE on {mysql_bench.schema}.jobu_loads",
        f"no INSERT, DELETE on {mysql_bench.schema}.items",
        f"no INSERT, UPDATE on {mysql_bench.schema}.items",
    ]
    mariadb.run(f"GRANT INSERT, UPDATE, DELETE ON {mysql_bench.schema}.* TO looker@localhost")
    assert problems(loader, wanted(mysql_bench), wanted(mysql_bench, Mode.UPSERT)) == []


def test_what_a_dead_replace_left_is_told_and_swept(dead_swap: MysqlBench) -> None:
    """Told by the doctor; taken back by the sweep, which says so; then nothing is left."""
    (found,) = problems(dead_swap.url)
    assert found == f"a replace died at {DATABASE}.{dead_swap.schema}.items"
    (done,) = sweep(dead_swap.url, DATABASE)
    assert "removed jobu_new_" in done
    assert (problems(dead_swap.url), sweep(dead_swap.url, DATABASE)) == ([], [])
    assert dead_swap.tables() == {"items"}
    assert dead_swap.count("items") == 1


def test_a_load_at_work_is_neither_told_nor_swept(dead_swap: MysqlBench) -> None:
    """It holds the table's lock, so what lies beside the table is its own."""

    def locked(session: Session) -> None:
        (target,) = {each.target for each in swap_ledger.noted_swaps(session)}
        name = swap_ledger.target_lock(target)
        assert session.one("SELECT get_lock(%(name)s, 0)", {"name": name}) == (1,)

    with open_session(dead_swap.url, DATABASE) as session:
        locked(session)
        assert problems(dead_swap.url) == []
        assert sweep(dead_swap.url, DATABASE) == []
        assert len(dead_swap.tables()) == 2
    assert len(sweep(dead_swap.url, DATABASE)) == 1


def test_a_table_that_no_ledger_knows_is_told_and_kept(dead_swap: MysqlBench) -> None:
    """It may be somebody's; only its name is like ours."""
    dead_swap.run(
        "CREATE TABLE jobu_old_0123456789ab (id bigint)", "CREATE TABLE jobu_old_x (i int)"
    )
    sweep(dead_swap.url, DATABASE)
    (found,) = problems(dead_swap.url)
    assert found.endswith(f"no ledger knows: {DATABASE}.{dead_swap.schema}.jobu_old_0123456789ab")
    assert dead_swap.tables() == {"items", "jobu_old_0123456789ab", "jobu_old_x"}


def test_a_postgresql_target_that_is_fine(bench: Bench) -> None:
    """A sweep has nothing to do there."""
    bench.run("CREATE TABLE items (id bigint)")
    found = examine_target(bench.url, "w", [Wanted(parse_table("w.public.items"), Mode.REPLACE)])
    assert found.problems == ()
    assert found.facts.startswith("PostgreSQL 1")
    assert sweep(bench.url, "w") == []


def test_rights_that_are_missing_in_postgresql_are_named(bench: Bench) -> None:
    """Of the manifest and of each table, by what its mode needs."""
    name = sql.Identifier(f"looker_{make_url(bench.url).database}")
    tables = [
        Wanted(parse_table("w.public.items"), Mode.UPSERT),
        Wanted(parse_table("w.nowhere.items"), Mode.APPEND),
    ]
    with psycopg.connect(bench.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE items (id bigint)")
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
        connection.execute(sql.SQL("GRANT SELECT ON items TO {}").format(name))
    url = make_url(bench.url).set(username=name.as_string())
    try:
        found = examine_target(url.render_as_string().replace("%22", ""), "w", tables)
    finally:
        with psycopg.connect(bench.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
            connection.execute(sql.SQL("DROP ROLE {}").format(name))
    assert [each.found for each in found.problems] == [
        "public.jobu_loads is missing and may not be made",
        "no INSERT, UPDATE on public.items",
        "nowhere.items is missing and may not be made",
    ]


def test_the_doctor_names_each_target(
    project: Path, mysql_bench: MysqlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that works, one that is not there, one whose URL is none; no password in it."""
    urls = {
        "WAREHOUSE": mysql_bench.url,
        "AWAY": "mysql://u:hush-4711@127.0.0.1:1/d",
        "ODD": "mysql://u:hush-4711@127.0.0.1:1",
        "PG": "postgresql://u:hush-4711@127.0.0.1:1/d",
    }
    for name, url in urls.items():
        monkeypatch.setenv(f"JOBU_DATABASES__{name}__URL", url)
    dataset = {
        "input": "/data/x.csv",
        "model": "X",
        "target": f"{DATABASE}.{mysql_bench.schema}.items",
        "mode": "replace",
    }
    monkeypatch.setenv("JOBU_DATASETS", json.dumps({"x": dataset}))
    del project
    settings = load_settings()
    found = {each.check: each for each in examine(settings) if each.check.startswith("target")}
    assert found["target warehouse"].ok, found
    assert "is not reachable" in found["target away"].found
    assert "names no database" in found["target odd"].found
    assert "databases.pg.url" in found["target pg"].advice
    assert "hush" not in repr(found)
    mysql_bench.run("CREATE TABLE items (id bigint) ENGINE=MEMORY")
    again = {each.check: each for each in examine(settings)}
    assert "kept by MEMORY" in again["target warehouse"].found
