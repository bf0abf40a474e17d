"""The log of rejects counts every problem once, however many rows share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from jobu_core.pipeline.rejects import Problem, reject_log

if TYPE_CHECKING:
    from pathlib import Path

SHORT = Problem("name", "too_short", "it is too short")
SAME = Problem("name", "too_short", "it is too short, Straße", "x")
NUMBER = Problem("id", "int_parsing", "no number")


def test_problems_that_rows_share_are_counted_for_each_row(tmp_path: Path) -> None:
    """Equal cells have one problem; ten thousand of them are ten thousand rejects."""
    path = tmp_path / "rejects.parquet"
    with reject_log(path, source_name="a.csv", show_values=False) as log:
        for number in range(1, 10_001):
            log.add(number, [SHORT], {})
        log.add(10_001, [NUMBER, SAME], {})
        assert log.counts == {"name": {"too_short": 10_001}, "id": {"int_parsing": 1}}
        assert log.counts["name"] == {"too_short": 10_001}  # asking counts nothing twice
        log.add(10_002, [SHORT], {})
    assert log.rejected == 10_002
    assert log.counts == {"name": {"too_short": 10_002}, "id": {"int_parsing": 1}}
    written = pq.read_table(path)
    assert written.column("row_number").to_pylist() == [*range(1, 10_002), 10_001, 10_002]
    assert written.column("message")[-2].as_py() == "it is too short, Straße"
    assert written.column("value").null_count == written.num_rows


def test_values_are_written_with_their_rows_only_if_asked_for(tmp_path: Path) -> None:
    """A row of two problems is shown at both."""
    path = tmp_path / "rejects.parquet"
    with reject_log(path, source_name="a.csv", show_values=True) as log:
        log.add(7, [NUMBER, SAME], {"id": "?", "name": "x"})
    written = pq.read_table(path)
    assert written.column("value").to_pylist() == [None, "x"]
    assert written.column("row").to_pylist() == ['{"id": "?", "name": "x"}'] * 2
