"""From what a handler raised to what its row becomes, and how long it waits."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobu_core.errors import (
    FileError,
    InvalidParams,
    PathRefused,
    RowsRejected,
    StoreUnavailable,
    TargetBusy,
    TargetUnavailable,
)
from jobu_core.execution.interrupts import Stopped
from jobu_core.execution.outcome import MAX_RETRY_AFTER_SECONDS, Decision, decide
from jobu_core.execution.retry import (
    MAX_BACKOFF_SECONDS,
    MAX_LAUNCH_BACKOFF_SECONDS,
    Backoff,
    after_lost_launch,
)
from jobu_core.handlers.base import Cancel, Retry
from jobu_core.models import Execution, Status
from jobu_core.redaction import redact
from jobu_core.store.transitions import Lease

BACKOFF = Backoff(random.Random(1))  # noqa: S311 - jitter, not a secret


def execution(**changes: Any) -> Execution:  # noqa: ANN401 - any field of the row
    """Return a running row in its first of four attempts."""
    row = dict.fromkeys(field.name for field in fields(Execution))
    row |= {"id": 7, "handler_name": "echo", "attempt": 1, "max_attempts": 4}
    return Execution(**(row | {"retry_backoff_seconds": 10} | changes))  # type: ignore[arg-type]


def settle(error: BaseException | None, **changes: Any) -> Decision:  # noqa: ANN401 - any field
    """Decide for a row with these changes."""
    return decide(error, execution(**changes), BACKOFF)


def stopped(*, cancel: bool) -> Stopped:
    """Return what an interrupt raises when the row asks to stop."""
    return Stopped(Lease(cancel_requested=cancel, deadline_passed=not cancel))


def test_a_return_is_success() -> None:
    """No error, no reason, nothing to wait for."""
    assert settle(None) == Decision(Status.SUCCESS)


def test_an_error_is_tried_again_with_its_type_and_text() -> None:
    """An attempt is left: PENDING after the backoff; the class is named in full."""
    decision = settle(ValueError("no such column"))
    assert (decision.status, decision.reason, decision.counted) == (
        Status.PENDING,
        "handler_error",
        True,
    )
    assert 9 <= decision.after_seconds <= 11
    assert decision.problem is not None
    assert (decision.problem.type, decision.problem.message) == ("ValueError", "no such column")
    assert settle(FileError("x")).problem.type == "jobu_core.errors.FileError"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("x"), Status.FAILED, "handler_error"),
        (SystemExit(3), Status.FAILED, "handler_error"),
        (Retry(), Status.FAILED, "retry"),
        (TargetUnavailable("x"), Status.FAILED, TargetUnavailable.code),
        (stopped(cancel=False), Status.TIMEOUT, "timeout"),
    ],
)
def test_the_last_attempt_ends_the_row(error: BaseException, status: Status, reason: str) -> None:
    """Attempts left: tried again, for the same reason. None left: the final status."""
    last = settle(error, attempt=4)
    assert (last.status, last.reason) == (status, reason)
    earlier = settle(error, attempt=3)
    assert (earlier.status, earlier.reason) == (Status.PENDING, reason)


@pytest.mark.parametrize(
    "error",
    [FileError("x"), RowsRejected("x"), InvalidParams("x"), PathRefused("x")],
)
def test_bad_data_is_never_retried_blindly(error: Exception) -> None:
    """Another attempt would fail the same way: FAILED in the first, with its code."""
    decision = settle(error)
    assert (decision.status, decision.reason) == (Status.FAILED, error.code)  # type: ignore[attr-defined]


def test_a_busy_target_defers_without_an_attempt() -> None:
    """Also in the last attempt, and never at once."""
    decision = settle(TargetBusy("locked"), attempt=4, retry_backoff_seconds=0)
    assert (decision.status, decision.counted) == (Status.PENDING, False)
    assert decision.after_seconds >= 1


def test_an_outage_is_an_attempt_like_any_other() -> None:
    """The job store away during a handler: tried again."""
    assert settle(StoreUnavailable("x")).status is Status.PENDING


def test_a_handler_may_cancel_itself() -> None:
    """CANCELED without further attempts, the reason kept and redacted."""
    decision = settle(Cancel("nothing to do at postgresql://u:secret@h/d"))
    assert (decision.status, decision.reason) == (Status.CANCELED, "handler")
    assert decision.problem is not None
    assert "secret" not in decision.problem.message


def test_a_cancel_by_a_person_wins_over_the_deadline() -> None:
    """Both asked for: CANCELED."""
    both = Stopped(Lease(cancel_requested=True, deadline_passed=True))
    assert settle(both).status is Status.CANCELED


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        (0, 0),
        (90.5, 90.5),
        (-5, 0),
        (float("inf"), MAX_RETRY_AFTER_SECONDS),
        (float("nan"), 0),
        (1e12, MAX_RETRY_AFTER_SECONDS),
    ],
)
def test_retry_after_overrides_the_backoff(after: float, seconds: float) -> None:
    """Exactly as asked, within what a database can add to a time."""
    assert settle(Retry(after=after), attempt=3).after_seconds == seconds


def test_backoff_doubles_up_to_an_hour() -> None:
    """10, 20, 40 … 3600 seconds, each give or take a tenth."""
    for attempt in range(1, 100):
        expected = min(MAX_BACKOFF_SECONDS, 10 * 2.0 ** (attempt - 1))
        assert 0.9 * expected <= BACKOFF.after_attempt(10, attempt) <= 1.1 * expected


def test_backoff_is_jittered() -> None:
    """Rows that failed together do not come back together."""
    assert len({BACKOFF.after_attempt(10, 1) for _ in range(20)}) > 10


def test_no_backoff_configured_means_at_once() -> None:
    """Zero stays zero, however often."""
    assert BACKOFF.after_attempt(0, 50) == 0


def test_lost_launches_back_off_to_five_minutes() -> None:
    """2, 4, 8 … 300 seconds."""
    waits = [after_lost_launch(count) for count in range(1, 2000)]
    assert waits[:8] == [2, 4, 8, 16, 32, 64, 128, 256]
    assert set(waits[8:]) == {MAX_LAUNCH_BACKOFF_SECONDS}


@pytest.mark.parametrize(
    ("message", "gone"),
    [
        ("DETAIL:  Failing row contains (1, Ann (the first), secret).", "secret"),
        ("Failing row contains (1,\nsecret\n).\nCONTEXT: COPY t", "secret"),
        ("Key (email)=(secret@x.org) already exists.", "secret"),
        ('Key (a, b)=(1, secret) is not present in table "t".', "secret"),
        ("cannot reach postgresql://jobu:secret@db:5432/x", "secret"),
        ("redis://:secret@h:6379/0 is away", "secret"),
        ("connection failed: host=db password=secret user=x", "secret"),
        ("host=db PASSWORD = 'secret word' user=x", "secret"),
    ],
)
def test_values_and_passwords_leave_no_trace(message: str, gone: str) -> None:
    """What the server or a driver repeats of them is taken out."""
    assert gone not in redact(message)


@pytest.mark.parametrize(
    "message",
    [
        'column "passwords" does not exist',
        "Key (id) is missing",
        "see https://example.org/a:b@c",
        'null value in column "x" violates not-null constraint',
    ],
)
def test_other_messages_are_left_as_they_are(message: str) -> None:
    """Redaction takes nothing that a person needs."""
    assert redact(message) == message


@given(st.text(max_size=200))
def test_redaction_never_fails(message: str) -> None:
    """Whatever the text, it comes back as text."""
    assert isinstance(redact(message), str)


def test_the_key_that_clashed_is_still_named() -> None:
    """The columns are needed to understand the error; their values are not."""
    said = redact("Key (a, b)=(1, 2) already exists.")
    assert said == "Key (a, b) (its value is not shown) already exists."


def test_the_sentence_for_the_log_names_what_a_person_needs() -> None:
    """Execution, handler, attempt of how many, when again, and why."""
    decision = settle(ValueError("no"))
    said = decision.sentence(execution(), Status.PENDING)
    assert "execution 7 (echo)" in said
    assert "1 of 4" in said
    assert "ValueError: no" in said
    assert "CANCELED" in decision.sentence(execution(), Status.CANCELED)
