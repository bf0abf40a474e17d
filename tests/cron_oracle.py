"""Fire times by looking at the wall clock in every minute of UTC; knows no code of jobu's.

The other way round than jobu goes: from each instant to what the clock shows, never
from a wall-clock time to an instant. One numpy array holds a zone's years, so that
all zones can be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from jobu_core.models import DstPolicy

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from tests.cron_strategies import Drawn

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
Minutes = np.ndarray[tuple[int], np.dtype[np.int32]]

_BEFORE = 2 * 1440
"""Minutes looked at before the stretch that is asked for: more than any fold or gap."""


@dataclass(frozen=True)
class WallClock:
    """What one zone's clock shows in each minute of a stretch of UTC.

    Minutes are counted from 1970, of UTC and of the wall clock alike.
    """

    first: int
    """The first minute of UTC."""
    shown: Minutes

    @cached_property
    def again(self) -> Flags:
        """Whether the clock showed this minute, or a later one, before."""
        latest = np.maximum.accumulate(self.shown)
        return np.concatenate(([False], self.shown[1:] <= latest[:-1]))

    @cached_property
    def once_more(self) -> Flags:
        """Whether the clock will show this minute, or an earlier one, again."""
        earliest = np.minimum.accumulate(self.shown[::-1])[::-1]
        return np.concatenate((self.shown[:-1] >= earliest[1:], [False]))

    @cached_property
    def changes(self) -> list[int]:
        """The minutes of UTC at which the clock did not just go on by one minute."""
        return [int(at) + self.first + 1 for at in np.flatnonzero(np.diff(self.shown) != 1)]

    @cached_property
    def day_and_minute(self) -> tuple[Minutes, Minutes]:
        """The day and the minute of the day that it shows."""
        day, minute = np.divmod(self.shown, np.int32(1440))
        return day, minute


@dataclass(frozen=True)
class Readings:
    """How far a zone's clock is from UTC, in minutes: read hourly, and where it changes.

    Equal readings are equal clocks in every minute of the stretch.
    """

    first: int
    by_hour: tuple[int, ...]
    within: tuple[tuple[int, tuple[int, ...]], ...]
    """Of each hour whose ends differ: its number, and the reading of each minute."""


def read_clock(zone: ZoneInfo, start: datetime, stop: datetime) -> Readings:
    """Read the clock of ``zone`` from a little before ``start`` to ``stop``."""
    first = _minute(start) - _BEFORE
    first -= first % 60
    by_hour = tuple(_offset(zone, hour) for hour in range(first, _minute(stop) + 61, 60))
    changed = [hour for hour, (at, then) in enumerate(pairwise(by_hour)) if at != then]
    within = (
        (hour, tuple(_offset(zone, first + hour * 60 + minute) for minute in range(60)))
        for hour in changed
    )
    return Readings(first, by_hour, tuple(within))


def wall_clock(readings: Readings) -> WallClock:
    """Write the readings out for every minute."""
    offsets = np.repeat(np.array(readings.by_hour[:-1], dtype=np.int32), 60)
    for hour, minutes in readings.within:
        offsets[hour * 60 : hour * 60 + 60] = minutes
    utc = np.arange(readings.first, readings.first + len(offsets), dtype=np.int32)
    return WallClock(readings.first, utc + offsets)


def expected(
    drawn: Drawn,
    clock: WallClock,
    policy: DstPolicy,
    start: datetime,
    stop: datetime,
) -> list[int]:
    """Return the minutes of UTC in ``(start, stop]`` at which the expression fires."""
    fires = _matches(drawn, *clock.day_and_minute)
    if not drawn.follows_real_time:
        if policy is not DstPolicy.BOTH:
            fires &= ~clock.again
        if policy is not DstPolicy.SKIP:
            fires |= _makes_up(drawn, clock)
    return _between(fires, clock, start, stop)


def expected_of_dagster(
    drawn: Drawn,
    clock: WallClock,
    start: datetime,
    stop: datetime,
) -> list[int]:
    """Return what Dagster's own iterator gives, as docs/time.md describes it.

    Only an hour field of ``*`` makes it follow real time; else the second pass of a
    fold counts.
    """
    fires = _matches(drawn, *clock.day_and_minute)
    if len(drawn.hour.values) < 24:
        fires &= ~clock.once_more
        fires |= _makes_up(drawn, clock)
    return _between(fires, clock, start, stop)


def minutes_of(instants: list[datetime]) -> list[int]:
    """Return instants as minutes of UTC; each must be a whole one."""
    seconds = [int(at.timestamp()) for at in instants]
    assert not any(second % 60 for second in seconds)
    return [second // 60 for second in seconds]


def instant_of(minute: int) -> datetime:
    """Return a minute of UTC as an instant."""
    return datetime.fromtimestamp(minute * 60, UTC)


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _offset(zone: ZoneInfo, minute: int) -> int:
    offset = datetime.fromtimestamp(minute * 60, zone).utcoffset()
    assert offset is not None
    minutes, seconds = divmod(int(offset.total_seconds()), 60)
    assert seconds == 0, f"{zone.key} is not whole minutes from UTC"
    return minutes


def _between(fires: Flags, clock: WallClock, start: datetime, stop: datetime) -> list[int]:
    low = _minute(start) + 1 - clock.first
    high = _minute(stop) + 1 - clock.first
    return (np.flatnonzero(fires[low:high]) + low + clock.first).tolist()


def _makes_up(drawn: Drawn, clock: WallClock) -> Flags:
    """Mark the ends of the gaps that hold a time of the expression."""
    ends = np.zeros(len(clock.shown), dtype=np.bool_)
    for at in np.flatnonzero(np.diff(clock.shown) > 1):
        missing = np.arange(clock.shown[at] + 1, clock.shown[at + 1], dtype=np.int32)
        ends[at + 1] = bool(_matches(drawn, *np.divmod(missing, 1440)).any())
    return ends


def _matches(drawn: Drawn, day: Minutes, minute: Minutes) -> Flags:
    """Look up whether the time of day is one of the expression, and the day too."""
    of_day = np.zeros(1440, dtype=np.bool_)
    for hour in drawn.hour.values:
        of_day[[hour * 60 + at for at in drawn.minute.values]] = True
    first, last = int(day.min()), int(day.max())
    one_of_them = time(min(drawn.hour.values), min(drawn.minute.values))
    days = [date(1970, 1, 1) + timedelta(days=at) for at in range(first, last + 1)]
    is_day = np.array([drawn.matches(datetime.combine(at, one_of_them)) for at in days])
    found: Any = of_day[minute] & is_day[day - np.int32(first)]
    flags: Flags = found
    return flags
