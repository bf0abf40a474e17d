"""A clock measures durations; the manual one moves only when told to."""

from __future__ import annotations

import time

from jobu_core.clock import ManualClock, SystemClock, seconds_since


def test_the_manual_clock_moves_only_when_told_to() -> None:
    """Sleeping advances it at once, backwards is impossible."""
    clock = ManualClock(start=10.0)
    clock.sleep(5)
    clock.sleep(-3)
    clock.advance(0.5)
    assert clock.monotonic() == 15.5


def test_the_system_clock_never_goes_back() -> None:
    """Two readings are in order, and a negative sleep returns at once."""
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(-60)
    assert before <= clock.monotonic() < before + 30


def test_an_age_is_never_negative() -> None:
    """An instant a moment ahead, by another machine's clock, has age zero."""
    assert seconds_since(time.time() + 60) == 0
    assert 60 <= seconds_since(time.time() - 60) < 90
