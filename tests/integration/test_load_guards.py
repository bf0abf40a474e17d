"""A replace is refused, or ends well without effect, before it harms the table."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from jobu_core.errors import LoadRefused
from jobu_core.pipeline.load.postgres import load_parquet
from jobu_core.pipeline.load.request import Guards, LoadResult, Mode, Outcome
from tests.load_bench import NOON, items

if TYPE_CHECKING:
    import pyarrow as pa

    from tests.load_bench import Bench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name text, value double precision)"
OLD = "INSERT INTO items SELECT g, 'old', 0 FROM generate_series(1, 100) AS g"


def replace(bench: Bench, rows: pa.Table, **changes: Any) -> LoadResult:  # noqa: ANN401 - fields
    """Replace the items by ``rows``."""
    return load_parquet(bench.request(rows, mode=Mode.REPLACE, **changes))


def test_an_older_replace_ends_well_and_changes_nothing(bench: Bench) -> None:
    """Effective time decides, not the order in which attempts happen to run."""
    bench.run(ITEMS)
    replace(bench, items(10), effective_time=NOON)
    earlier = NOON - dt.timedelta(seconds=1)
    late = replace(bench, items(20), execution_id=2, effective_time=earlier)
    assert (late.outcome, late.rows, late.load_id) == (Outcome.STALE_REPLACE, 0, None)
    assert bench.count("items") == 10
    assert bench.count("jobu_loads") == 1
    same = replace(bench, items(30), execution_id=3, effective_time=NOON)
    assert same.outcome is Outcome.LOADED


def test_a_replace_by_nothing_needs_permission(bench: Bench) -> None:
    """Zero rows empty a table only with allow_empty."""
    bench.run(ITEMS, OLD)
    with pytest.raises(LoadRefused, match="allow_empty"):
        replace(bench, items(0))
    assert bench.count("items") == 100
    replace(bench, items(0), guards=Guards(allow_empty=True))
    assert bench.count("items") == 0


def test_max_shrink_protects_from_half_a_file(bench: Bench) -> None:
    """A replace that takes away more than the allowed part is refused."""
    bench.run(ITEMS, OLD)
    guards = Guards(max_shrink=0.2)
    with pytest.raises(LoadRefused, match="from 100 to 79 rows"):
        replace(bench, items(79), guards=guards)
    assert replace(bench, items(80), guards=guards).rows == 80
