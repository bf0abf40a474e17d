"""How many digits a table's columns hold, for each engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.pipeline.load.decimals import read_decimals
from tests.load_bench import items

if TYPE_CHECKING:
    from tests.load_bench import Bench


@pytest.fixture(params=["bench", "mysql_bench"])
def target(request: pytest.FixtureRequest) -> Bench:
    """Return a bench on a PostgreSQL, and on a MariaDB."""
    found: Bench = request.getfixturevalue(request.param)
    return found


def test_only_columns_of_fixed_digits_that_arrow_holds_are_told(target: Bench) -> None:
    """Neither integers nor more than 38 digits; a table that is missing has none."""
    name = target.request(items(1)).target
    assert read_decimals(target.url, name) == {}
    target.run(
        "CREATE TABLE items (a numeric(10, 2), b numeric(5), c numeric(38, 38), d numeric(60, 2),"
        " e bigint, f double precision)"
    )
    assert read_decimals(target.url, name) == {"a": (10, 2), "b": (5, 0), "c": (38, 38)}


def test_unbounded_and_coarse_numbers_have_no_digits_to_take(bench: Bench) -> None:
    """PostgreSQL alone has them."""
    bench.run("CREATE TABLE items (a numeric, b numeric(5, -2), c numeric(3, 5))")
    assert read_decimals(bench.url, bench.request(items(1)).target) == {}
