"""What tests of loads and handlers run on: a fresh database and a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.pipeline.load.mysql import swap_ledger
from jobu_core.pipeline.load.mysql.session import open_session
from jobu_core.pipeline.load.request import Mode
from tests.handler_bench import Project, make_project
from tests.load_bench import Bench, items
from tests.mysql_bench import DATABASE, ITEMS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mysql_bench import MysqlBench


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Bench:
    """Return a bench on a fresh job store, which is also the default target."""
    return Bench(database_url, tmp_path)


@pytest.fixture
def data_project(bench: Bench) -> Project:
    """Return a project with the demo's dataset, on a fresh job store."""
    return make_project(bench)


@pytest.fixture
def dead_swap(mysql_bench: MysqlBench) -> MysqlBench:
    """Leave a new table beside ``items`` as a load does that dies."""
    mysql_bench.run(ITEMS, "INSERT INTO items VALUES (1, 'old', 0)")
    request = mysql_bench.request(items(3), mode=Mode.REPLACE)
    with open_session(mysql_bench.url, DATABASE) as session:
        swap = swap_ledger.note_swap(session, request, definition="any")
        mysql_bench.run(f"CREATE TABLE `{swap.new.table}` LIKE items")
    return mysql_bench
