"""What the manifest tells about later loads, for each engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.pipeline.load.engine import load_parquet, replaced_by
from jobu_core.pipeline.load.request import Mode
from tests.load_bench import items

if TYPE_CHECKING:
    from tests.load_bench import Bench


@pytest.fixture(params=["bench", "mysql_bench"])
def target(request: pytest.FixtureRequest) -> Bench:
    """Return a bench on a PostgreSQL, and on a MariaDB."""
    found: Bench = request.getfixturevalue(request.param)
    return found


def test_a_replace_is_told_to_the_loads_before_it(target: Bench) -> None:
    """Appends are none, nor is a replace of another table."""
    asked = target.request(items(1), create=True, execution_id=1)
    assert replaced_by(target.url, asked.target, 1) is None, "there is no manifest yet"
    first = load_parquet(asked).load_id
    assert first is not None
    load_parquet(target.request(items(1), execution_id=2))
    other = target.request(items(1), "others", create=True, mode=Mode.REPLACE, execution_id=3)
    load_parquet(other)
    assert replaced_by(target.url, asked.target, first) is None
    replace = load_parquet(target.request(items(2), mode=Mode.REPLACE, execution_id=4)).load_id
    load_parquet(target.request(items(2), mode=Mode.REPLACE, execution_id=5))
    assert replaced_by(target.url, asked.target, first) == replace
    assert replace is not None
    assert replaced_by(target.url, asked.target, replace + 1) is None
