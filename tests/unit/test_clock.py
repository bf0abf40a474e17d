"""A clock measures durations; the manual one moves only when told to."""

from __future__ import annotations

from jobu_core.clock import ManualClock, SystemClock


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
