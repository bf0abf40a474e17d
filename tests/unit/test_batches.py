"""How due rows are divided among launches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from jobu_core.dispatcher.batches import BatchLimits, share_launches
from jobu_core.models import ParamSource
from jobu_core.store.launches import DueRow

if TYPE_CHECKING:
    from collections.abc import Sequence


def _rows(handlers: Sequence[str], source: ParamSource = ParamSource.EVENT) -> list[DueRow]:
    return [DueRow(number, handler, source) for number, handler in enumerate(handlers, start=1)]


def _ids(groups: Sequence[Sequence[DueRow]]) -> list[list[int]]:
    return [[row.id for row in group] for group in groups]


def test_each_row_has_a_run_of_its_own_without_a_backlog() -> None:
    """As many rows as launches: nothing shares."""
    groups = share_launches(_rows("aaab"), 4, BatchLimits(100))
    assert _ids(groups) == [[1], [2], [3], [4]]


def test_a_backlog_is_shared_evenly() -> None:
    """Ten rows and four launches: three each, so that no slot idles beside a long batch."""
    groups = share_launches(_rows("a" * 10), 4, BatchLimits(100))
    assert _ids(groups) == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]


def test_no_launch_is_larger_than_the_limit() -> None:
    """What does not fit waits for the next claim."""
    groups = share_launches(_rows("a" * 10), 2, BatchLimits(3))
    assert _ids(groups) == [[1, 2, 3], [4, 5, 6]]


def test_a_launch_has_one_handler_and_one_source() -> None:
    """Rows of different kinds never meet in a run."""
    rows = [*_rows("abab"), DueRow(5, "a", ParamSource.CRON), DueRow(6, "a", ParamSource.CRON)]
    groups = share_launches(rows, 3, BatchLimits(100))
    assert _ids(groups) == [[1, 3], [2, 4], [5, 6]]


def test_staged_handlers_stay_alone() -> None:
    """Their stages are the ops of the run: one execution each."""
    groups = share_launches(_rows("ppppaa"), 3, BatchLimits(100, alone={"p"}))
    assert _ids(groups) == [[1], [2], [3]]


def test_the_most_urgent_get_the_launches() -> None:
    """Rows arrive most urgent first; ids ascend within a launch all the same."""
    rows = [DueRow(number, "a", ParamSource.EVENT) for number in (9, 2, 5, 1)]
    assert _ids(share_launches(rows, 2, BatchLimits(2))) == [[2, 9], [1, 5]]


@given(
    handlers=st.text(alphabet="abp", max_size=60),
    launches=st.integers(min_value=0, max_value=8),
    max_batch=st.integers(min_value=1, max_value=20),
)
def test_groups_keep_every_limit(handlers: str, launches: int, max_batch: int) -> None:
    """Never too many launches, never too large, no row twice, no kinds mixed."""
    groups = share_launches(_rows(handlers), launches, BatchLimits(max_batch, alone={"p"}))
    ids = [row.id for group in groups for row in group]
    assert len(groups) <= launches
    assert len(ids) == len(set(ids))
    assert len(ids) >= min(launches, len(handlers))
    for group in groups:
        assert 1 <= len(group) <= max_batch
        assert len({(row.handler, row.source) for row in group}) == 1
        assert len(group) == 1 or group[0].handler != "p"
        assert [row.id for row in group] == sorted(row.id for row in group)
