"""A load into MariaDB with its connection cut at every packet: the rows are there once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobu_core.errors import TargetUnavailable
from jobu_core.pipeline.load.mysql.loader import load_parquet, read_load
from jobu_core.pipeline.load.request import Mode, Outcome, Strategy
from tests.fix_proxy import Cut
from tests.load_bench import items
from tests.mysql_bench import DATABASE
from tests.outage.sweep import cut_everywhere

if TYPE_CHECKING:
    from tests.fix_mysql_proxy import MysqlProxy
    from tests.mysql_bench import MysqlBench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(100), value double)"
FOUND = ("SELECT id FROM items ORDER BY id", [(1,), (2,), (3,)])
WAYS: list[Any] = [
    pytest.param({}, id="append"),
    pytest.param(
        {"mode": Mode.REPLACE, "strategy": Strategy.SWAP}, id="swap", marks=pytest.mark.long
    ),
    pytest.param(
        {"mode": Mode.REPLACE, "strategy": Strategy.DELETE}, id="delete", marks=pytest.mark.long
    ),
    pytest.param({"mode": Mode.UPSERT, "keys": ("id",)}, id="upsert", marks=pytest.mark.long),
    pytest.param({"create": True}, id="create", marks=pytest.mark.long),
]


@pytest.mark.rule(5)
@pytest.mark.parametrize("how", WAYS)
def test_a_load_is_committed_once_wherever_it_is_cut(
    mysql_bench: MysqlBench, mysql_proxy: MysqlProxy, how: dict[str, Any]
) -> None:
    """The attempt after it finds all or nothing; manifest and tables tell which."""
    path = mysql_bench.file(items(3))
    execution = 0

    def request(attempt: int, url: str) -> object:
        return load_parquet(
            mysql_bench.request(path, url=url, execution_id=execution, attempt=attempt, **how)
        )

    def arrange() -> None:
        nonlocal execution
        execution += 1
        if "create" in how:
            mysql_bench.run("DROP TABLE IF EXISTS items")
        elif "mode" not in how or execution == 1:
            mysql_bench.run("DROP TABLE IF EXISTS items", ITEMS)

    def act() -> None:
        request(1, mysql_proxy.url(mysql_bench.url))

    def settle() -> None:
        request(2, mysql_bench.url)
        assert mysql_bench.rows(FOUND[0]) == FOUND[1]
        assert mysql_bench.tables() == {"items"}
        loads = mysql_bench.rows("SELECT execution_id, `rows` FROM jobu_loads ORDER BY load_id")
        assert loads == [(number, 3) for number in range(1, execution + 1)]
        if mysql_bench.rows("SHOW TABLES LIKE 'jobu_swaps'"):
            assert mysql_bench.count("jobu_swaps") == 0

    assert cut_everywhere(mysql_proxy, act, settle, arrange) > 30


@pytest.mark.rule(5)
def test_a_load_whose_commit_got_no_answer_is_a_success_at_once(
    mysql_bench: MysqlBench, mysql_proxy: MysqlProxy
) -> None:
    """The manifest is asked over a new connection; no second attempt is spent."""
    mysql_bench.run(ITEMS)
    request = mysql_bench.request(items(3), url=mysql_proxy.url(mysql_bench.url))
    mysql_proxy.arm_at(b"\x03COMMIT", Cut.AFTER)
    assert load_parquet(request).outcome is Outcome.ALREADY_LOADED
    assert mysql_proxy.disarm()
    assert mysql_bench.count("items") == 3


@pytest.mark.rule(5)
@pytest.mark.parametrize("how", [Cut.BEFORE, Cut.TORN])
def test_a_connection_that_is_lost_among_the_rows_is_an_outage(
    mysql_bench: MysqlBench, mysql_proxy: MysqlProxy, how: Cut
) -> None:
    """Not an error of the program or of the rows: the attempt is made again, and nothing stays."""
    mysql_bench.run(ITEMS)
    rows = items(50_000)
    request = mysql_bench.request(rows, url=mysql_proxy.url(mysql_bench.url))
    mysql_proxy.arm_at(b'"item 25000"', how)
    with pytest.raises(TargetUnavailable):
        load_parquet(request)
    assert mysql_proxy.disarm()
    assert load_parquet(mysql_bench.request(rows, attempt=2)).outcome is Outcome.LOADED
    assert mysql_bench.count("items") == 50_000


@pytest.mark.rule(5)
def test_a_commit_that_was_never_heard_is_an_outage(
    mysql_bench: MysqlBench, mysql_proxy: MysqlProxy
) -> None:
    """The manifest says that nothing happened, and the attempt is made again."""
    mysql_bench.run(ITEMS)
    request = mysql_bench.request(items(3), url=mysql_proxy.url(mysql_bench.url))
    mysql_proxy.arm_at(b"\x03COMMIT", Cut.BEFORE)
    with pytest.raises(TargetUnavailable, match="connection lost at commit"):
        load_parquet(request)
    assert read_load(mysql_bench.url, DATABASE, request.load_key) is None
    assert mysql_bench.count("items") == 0
