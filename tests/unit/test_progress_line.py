"""``jobu executions show`` says in one line how far an execution is."""

from __future__ import annotations

import pytest

from jobu_admin.cli.progress_line import progress_line
from jobu_core.pipeline.meter import Progress


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (
            Progress("load", 500_000, 2_000_000, 25_000_000, 100_000_000, 10.0),
            "load: 500,000 of 2,000,000 rows, 25.0 of 100.0 MB, 50,000 rows/s, about 30 s left",
        ),
        (
            Progress("preprocess", 1000, None, 1_000_000, 100_000_000, 10.0),
            "preprocess: 1,000 rows, 1.0 of 100.0 MB, 100 rows/s, about 16 min 30 s left",
        ),
        (Progress("validate", 1000, None, None, None, 10.0), "validate: 1,000 rows, 100 rows/s"),
        (Progress("validate", 0, None, None, None, 0.0), "validate: 0 rows"),
    ],
)
def test_what_is_known_is_told_and_nothing_else(progress: Progress, line: str) -> None:
    """Totals, rate and rest appear where there are any."""
    assert progress_line(progress.as_json()) == line


@pytest.mark.parametrize("own", [{"rows": 5}, ["half"], "half", None, 3])
def test_what_a_handler_wrote_itself_is_shown_as_it_is(own: object) -> None:
    """A handler may write any JSON as its progress."""
    assert progress_line(own) == own
