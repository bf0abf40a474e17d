"""What ``preview_load`` says is what ``load_parquet`` then does, for each engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from jobu_core.errors import DataError, LoadRefused, SchemaMismatch
from jobu_core.pipeline.load.engine import load_parquet, preview_load
from jobu_core.pipeline.load.request import Guards, Mode, Strategy
from tests.load_bench import items

if TYPE_CHECKING:
    from tests.load_bench import Bench


@pytest.fixture(params=["bench", "mysql_bench"])
def target(request: pytest.FixtureRequest) -> Bench:
    """Return a bench on a PostgreSQL, and on a MariaDB."""
    found: Bench = request.getfixturevalue(request.param)
    return found


def make_items(target: Bench) -> None:
    """Make the table that ``items`` fits into, with one row."""
    load_parquet(target.request(items(1), create=True, execution_id=9))


def test_a_missing_table_would_be_made(target: Bench) -> None:
    """Its columns are told, and nothing is made."""
    asked = target.request(items(3), create=True)
    found = preview_load(asked)
    assert (found.exists, found.how, found.problems) == (False, "create", ())
    assert [each.name for each in found.columns] == ["id", "name", "value"]
    assert found.columns[0].column == "bigint"
    assert not preview_load(asked).exists
    assert load_parquet(asked).strategy == "create"


def test_a_missing_table_is_a_problem_unless_it_may_be_made(target: Bench) -> None:
    """Preview and load refuse alike."""
    asked = target.request(items(3))
    found = preview_load(asked)
    assert found.how is None
    assert "does not exist" in found.problems[0]
    with pytest.raises(SchemaMismatch, match="does not exist"):
        load_parquet(asked)


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({}, "append"),
        ({"mode": Mode.REPLACE}, "swap"),
        ({"mode": Mode.REPLACE, "strategy": Strategy.DELETE}, "delete"),
    ],
)
def test_the_way_is_told_and_taken(target: Bench, changes: dict[str, Any], how: str) -> None:
    """The strategy of a replace is the one that the load then has."""
    make_items(target)
    asked = target.request(items(3), **changes)
    found = preview_load(asked)
    assert (found.exists, found.how, found.problems) == (True, how, ())
    assert {each.wire for each in found.columns} <= {"COPY binary", "LOAD DATA", "INSERT"}
    assert load_parquet(asked).strategy == how


def test_every_difference_is_told_at_once(target: Bench) -> None:
    """An extra column, a missing one and a type that does not fit, as the load says."""
    make_items(target)
    file = pa.table({"id": pa.array(["x"]), "name": pa.array(["y"]), "extra": pa.array([1])})
    asked = target.request(file)
    found = preview_load(asked)
    assert found.how is None
    told = {each.name: (each.column, each.wire) for each in found.columns}
    assert told["extra"] == (None, None)
    assert told["id"] in {("bigint", None), ("bigint(20)", None)}
    assert told["name"][1] is not None
    with pytest.raises(SchemaMismatch) as refused:
        load_parquet(asked)
    assert len(found.problems) == 3
    for problem in found.problems:
        assert problem in str(refused.value)


def test_a_value_that_cannot_be_sent_is_found(target: Bench) -> None:
    """A text that the column cannot hold is a problem before the first byte is sent."""
    make_items(target)
    long = "n" * 200
    target.run("CREATE TABLE short (name varchar(100))")
    asked = target.request(pa.table({"name": pa.array(["a", long])}), "short")
    (problem,) = preview_load(asked).problems
    assert "'name'" in problem
    assert long not in problem
    with pytest.raises(DataError, match="'name'"):
        load_parquet(asked)


def test_guards_hold_in_the_preview_too(target: Bench) -> None:
    """An empty replace, and one that shrinks too much."""
    load_parquet(target.request(items(10), create=True, execution_id=9))
    empty = target.request(items(0), mode=Mode.REPLACE)
    assert "no rows" in preview_load(empty).problems[0]
    shrunk = target.request(items(4), mode=Mode.REPLACE, guards=Guards(max_shrink=0.5))
    assert "from 10 to 4 rows" in preview_load(shrunk).problems[0]
    with pytest.raises(LoadRefused, match="from 10 to 4 rows"):
        load_parquet(shrunk)


def test_nothing_is_written_by_a_preview(target: Bench) -> None:
    """Not even the manifest's table; the rows of the target stay."""
    target.run("CREATE TABLE plain (id bigint)")
    asked = target.request(pa.table({"id": pa.array([1, 2])}), "plain", mode=Mode.REPLACE)
    assert preview_load(asked).how == "swap"
    listed = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'jobu_loads'"
    assert target.value(listed) == 0
    assert target.value("SELECT count(*) FROM plain") == 0


def test_a_forbidden_target_is_refused(target: Bench) -> None:
    """As by the load itself."""
    with pytest.raises(LoadRefused, match="can never be a target"):
        preview_load(target.request(items(1), "jobu_loads"))
