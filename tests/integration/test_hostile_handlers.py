"""Whatever a handler returns or raises, the row says how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from jobu_core.handlers.base import Cancel
from jobu_core.models import Status
from jobu_core.store.transitions import MAX_MESSAGE_CHARS
from tests.attempt_support import Bench, Free

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from jobu_core.handlers.base import HandlerContext


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Bench:
    """Return a child that has executed nothing yet."""
    return Bench(engine, tmp_path)


class MuteError(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> NoReturn:  # noqa: D105 - see the class
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("a\0b"), "a\\0b"),
        (ValueError("a\udc80b"), "a\\udc80b"),
        (MuteError(), "its message cannot be read: ZeroDivisionError"),
        (ValueError("x" * 1_000_000), "x" * MAX_MESSAGE_CHARS),
        (ValueError("postgresql://u:secret@h/d"), "postgresql://u:***@h/d"),
        (Cancel("no\0more"), "no\\0more"),
    ],
)
def test_any_error_is_kept_as_far_as_a_row_can_hold_it(
    bench: Bench, error: Exception, said: str
) -> None:
    """The first attempt is decided by the error itself, not by the database refusing its text."""

    def work(_context: HandlerContext, _params: Free) -> NoReturn:
        raise error

    outcome = bench.run(work, max_attempts=1)
    row = bench.jobs.row(outcome.execution_id)
    ended = Status.CANCELED if isinstance(error, Cancel) else Status.FAILED
    assert (row.status, row.error_message) == (ended, said)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"a": "x\0"}, "holds NUL"),
        ({"a": "\udc80"}, "half of a surrogate pair"),
        ({"a": object()}, "does not fit in JSON"),
        ({"a": float("nan")}, "does not fit in JSON"),
    ],
)
def test_a_result_that_cannot_be_stored_fails_the_attempt_with_its_reason(
    bench: Bench, result: dict[str, Any], said: str
) -> None:
    """It is told what is wrong with it, once, instead of a database error and a second decision."""

    def work(_context: HandlerContext, _params: Free) -> dict[str, Any]:
        return result

    outcome = bench.run(work, max_attempts=1)
    row = bench.jobs.row(outcome.execution_id)
    assert row.status is Status.FAILED
    assert said in (row.error_message or "")
