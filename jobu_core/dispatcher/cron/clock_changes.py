"""When the clocks of a zone change, and what that does to an expression. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from jobu_core.dispatcher.cron.fire_times import transition
from jobu_core.models import DstPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobu_core.dispatcher.cron.fire_times import FireTimes

_STEP: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ClockChange:
    """One change of a zone's offset, and the times of an expression that it touches."""

    at: datetime
    """The first instant with the new offset."""
    wall_before: datetime
    """What the clock would have shown then, without a zone."""
    wall_after: datetime
    """What it shows instead."""
    touched: int
    """Wall-clock times of the expression that do not come, or come twice."""
    effect: str
    """What the DST policy makes of them, as a sentence; empty when none is touched."""

    @property
    def is_gap(self) -> bool:
        """Clocks go forward: times between before and after do not come."""
        return self.wall_before < self.wall_after


def clock_changes(times: FireTimes, after: datetime, until: datetime) -> list[ClockChange]:
    """Return the clock changes in ``(after, until]``, as they meet the expression."""
    return [_change(times, at) for at in _transitions(times, after, until)]


def _transitions(times: FireTimes, after: datetime, until: datetime) -> Iterator[datetime]:
    start = after
    while start < until:
        end = min(start + _STEP, until)
        if start.astimezone(times.zone).utcoffset() != end.astimezone(times.zone).utcoffset():
            yield transition(times.zone, start, end)
        start = end


def _change(times: FireTimes, at: datetime) -> ClockChange:
    second = timedelta(seconds=1)
    before = (at - second).astimezone(times.zone).replace(tzinfo=None, fold=0) + second
    after = at.astimezone(times.zone).replace(tzinfo=None, fold=0)
    low, high = min(before, after), max(before, after)
    inside = takewhile(lambda time: time < high, times.calendar.after(low - second))
    touched = sum(1 for _ in inside)
    return ClockChange(at, before, after, touched, _effect(times, before, after) if touched else "")


def _effect(times: FireTimes, before: datetime, after: datetime) -> str:
    if times.calendar.follows_real_time:
        return "do not fire" if before < after else "fire in both passes"
    if before < after:
        if times.dst_policy is DstPolicy.SKIP:
            return "are skipped (gap)"
        return f"fire once, at {after:%H:%M}"
    return "fire in both passes" if times.dst_policy is DstPolicy.BOTH else "fire in the first pass"
