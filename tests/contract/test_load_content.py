"""``load_key: content``: the same rows are appended once, for each engine."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from jobu_core.errors import LoadRefused
from jobu_core.pipeline.load.engine import load_parquet, read_load
from jobu_core.pipeline.load.request import Outcome, load_key
from tests.load_bench import INSTALLATION, items

if TYPE_CHECKING:
    from jobu_core.pipeline.load.request import LoadResult
    from tests.load_bench import Bench

ITEMS = "CREATE TABLE items (id bigint, name varchar(40), value double precision)"


@pytest.fixture(params=["bench", "mysql_bench"])
def target(request: pytest.FixtureRequest) -> Bench:
    """Return a bench on a PostgreSQL, and on a MariaDB."""
    found: Bench = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("create", [True, False])
def test_a_second_execution_of_the_same_content_loads_nothing(target: Bench, create: bool) -> None:
    """It is told which execution and load did, and how many rows."""
    if not create:
        target.run(ITEMS)
    first = load_parquet(target.request(items(10), content="c1", create=create))
    again = load_parquet(target.request(items(10), content="c1", create=create, execution_id=2))
    assert (first.outcome, first.loaded_by) == (Outcome.LOADED, None)
    assert (again.outcome, again.rows) == (Outcome.ALREADY_LOADED, 10)
    assert (again.load_id, again.loaded_by) == (first.load_id, 1)
    assert target.count("items") == 10


def test_other_content_is_another_load(target: Bench) -> None:
    """And so is the same content in another table, or under an execution's own key."""
    target.run(ITEMS)
    load_parquet(target.request(items(1), content="c1"))
    load_parquet(target.request(items(1), content="c2", execution_id=2))
    load_parquet(target.request(items(1), execution_id=3))
    load_parquet(target.request(items(1), "others", content="c1", create=True, execution_id=4))
    assert (target.count("items"), target.count("others")) == (3, 1)


@pytest.mark.parametrize("create", [True, False])
def test_what_an_execution_committed_is_found_by_its_own_key(target: Bench, create: bool) -> None:
    """So that the reconciler can tell of a lost worker; another's load is not ours."""
    if not create:
        target.run(ITEMS)
    asked = target.request(items(10), content="c1", create=create)
    load_parquet(asked)
    load_parquet(target.request(items(10), content="c1", execution_id=2))
    mine, other = (load_key(INSTALLATION, root, asked.target) for root in (1, 2))
    found = read_load(target.url, asked.target.database, mine)
    assert found is not None
    assert (found.rows, found.execution_id, found.load_key) == (10, 1, asked.load_key)
    assert read_load(target.url, asked.target.database, other) is None


def test_an_execution_whose_file_has_changed_is_refused(target: Bench) -> None:
    """One execution must not stand for two contents."""
    target.run(ITEMS)
    load_parquet(target.request(items(10), content="c1"))
    with pytest.raises(LoadRefused, match="another input"):
        load_parquet(target.request(items(11), content="c2", attempt=2))
    assert target.count("items") == 10


def test_two_executions_at_once_load_it_once(target: Bench) -> None:
    """Whether the table is there or is being made."""
    done: list[LoadResult] = []

    def load(execution: int) -> None:
        asked = target.request(path, content="c1", create=True, execution_id=execution)
        done.append(load_parquet(asked))

    path = target.file(items(5000))
    threads = [threading.Thread(target=load, args=(at,)) for at in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    outcomes = sorted(each.outcome.value for each in done)
    assert outcomes == ["already_loaded", "already_loaded", "loaded"]
    assert target.count("items") == 5000
