"""Fire times from 2015 to 2035 in every zone: equal to its wall clock, minute by minute.

Zones whose clocks agree in every minute of these years (aliases, mostly) share the
whole list of expressions; each name is tried on its own as well.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

import pytest

from jobu_core.dispatcher.cron.fire_times import fire_times
from jobu_core.models import DstPolicy
from tests.cron_oracle import (
    expected,
    instant_of,
    minutes_of,
    read_clock,
    wall_clock,
)
from tests.cron_strategies import Drawn, Field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.cron_oracle import Readings, WallClock

START, STOP = datetime(2015, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
PARTS = 12
_WEEK = timedelta(days=7)
_NOT_PORTABLE = frozenset({"localtime", "Factory", "posixrules"})


def _every(low: int, high: int) -> Field:
    return Field("*", frozenset(range(low, high + 1)))


def _listed(*values: int) -> Field:
    return Field(",".join(str(value) for value in values), frozenset(values))


def _stepped(step: int, low: int, high: int) -> Field:
    return Field(f"*/{step}", frozenset(range(low, high + 1, step)))


_DAYS, _MONTHS, _WEEKDAYS = _every(1, 31), _every(1, 12), _every(0, 6)
NIGHTLY = Drawn(_listed(30), _listed(2), _DAYS, _MONTHS, _WEEKDAYS)
FIXED = (
    Drawn(_listed(0, 30), _listed(0, 1, 3), _DAYS, _MONTHS, _WEEKDAYS),
    Drawn(_listed(0), _listed(0), _listed(29), _listed(2), _WEEKDAYS),
    Drawn(_listed(45), _listed(1, 2), _listed(1, 31), _MONTHS, _WEEKDAYS),
    Drawn(_listed(0), _listed(2), _listed(13, 29), _listed(3, 4, 9, 10, 11), _listed(0, 5)),
)
"""Around midnight, leap day, month ends, either of two day fields."""
REAL_TIME = (
    Drawn(_every(0, 59), _listed(2), _DAYS, _listed(3, 4, 9, 10, 11), _listed(0)),
    Drawn(_stepped(20, 0, 59), _listed(1, 2), _DAYS, _MONTHS, _WEEKDAYS),
    Drawn(_listed(30), _stepped(3, 0, 23), _DAYS, _MONTHS, _WEEKDAYS),
)
EVERY_MINUTE = Drawn(_every(0, 59), _every(0, 23), _DAYS, _MONTHS, _WEEKDAYS)


def _drawn_for(zone: str) -> Drawn:
    """Draw fixed times for a zone: the same ones whenever this runs."""
    draw = random.Random(zone)  # noqa: S311 - a test's choice, and it has to repeat

    def some(low: int, high: int, most: int) -> Field:
        return _listed(*sorted(draw.sample(range(low, high + 1), draw.randint(1, most))))

    return Drawn(
        some(0, 59, 3),
        some(0, 4, 3),
        draw.choice((_DAYS, some(1, 31, 9))),
        draw.choice((_MONTHS, some(1, 12, 8))),
        draw.choice((_WEEKDAYS, some(0, 6, 3))),
    )


@lru_cache(maxsize=1)
def _alike() -> tuple[tuple[str, ...], ...]:
    """Group the names of all zones whose clocks agree once a week."""
    groups: dict[tuple[timedelta | None, ...], list[str]] = {}
    weeks = [START + week * _WEEK for week in range((STOP - START) // _WEEK)]
    for name in sorted(available_timezones() - _NOT_PORTABLE):
        zone = ZoneInfo(name)
        offsets = tuple(at.astimezone(zone).utcoffset() for at in weeks)
        groups.setdefault(offsets, []).append(name)
    return tuple(tuple(names) for names in groups.values())


def _differences(
    name: str,
    drawn: Drawn,
    clock: WallClock,
    policies: Sequence[DstPolicy] = tuple(DstPolicy),
) -> list[str]:
    """Return where jobu and the wall clock disagree, over all the years."""
    found = []
    for policy in policies:
        fired = minutes_of(fire_times(drawn.text, name, policy).within(START, STOP))
        wanted = expected(drawn, clock, policy, START, STOP)
        if fired != wanted:
            first = min(set(fired) ^ set(wanted), default=0)
            found.append(f"{name}: {drawn.text!r} {policy}: at {instant_of(first)}")
    return found


def _backwards(name: str, drawn: Drawn, policy: DstPolicy) -> list[str]:
    """Return whether looking back and counting see what looking ahead sees."""
    times = fire_times(drawn.text, name, policy)
    ahead = times.within(START, STOP)
    back = list(takewhile(lambda at: at > START, times.before(STOP + timedelta(minutes=1))))
    found = [] if back[::-1] == ahead else [f"{name}: {drawn.text!r} {policy}: looking back"]
    if times.count(START, STOP) != len(ahead):
        found.append(f"{name}: {drawn.text!r} {policy}: counting")
    return found


def _around_changes(name: str, clock: WallClock) -> list[str]:
    """Return disagreements of ``* * * * *`` for a day around each clock change."""
    times = fire_times(EVERY_MINUTE.text, name)
    half_a_day = timedelta(hours=12)
    found = []
    for change in clock.changes:
        start, stop = instant_of(change) - half_a_day, instant_of(change) + half_a_day
        if start < START or stop > STOP:
            continue
        around = wall_clock(read_clock(times.zone, start, stop))
        wanted = expected(EVERY_MINUTE, around, DstPolicy.STANDARD, start, stop)
        if minutes_of(times.within(start, stop)) != wanted:
            found.append(f"{name}: every minute around {instant_of(change)}")
    return found


def _all_differences(name: str, clock: WallClock) -> list[str]:
    found = _around_changes(name, clock)
    for drawn in (NIGHTLY, _drawn_for(name)):
        found += _differences(name, drawn, clock)
    for drawn in (*FIXED, *REAL_TIME):
        found += _differences(name, drawn, clock, [DstPolicy.STANDARD])
    return found + _backwards(name, NIGHTLY, DstPolicy.BOTH)


@pytest.mark.parametrize(
    "name",
    ["Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Africa/Casablanca"],
)
def test_twenty_years_of_nights_are_those_of_the_wall_clock(name: str) -> None:
    """The short sample: one expression, every policy, each clock change of those years."""
    clock = wall_clock(read_clock(ZoneInfo(name), START, STOP))
    assert _differences(name, NIGHTLY, clock) == []


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_zone_fires_as_its_wall_clock_shows(part: int) -> None:
    """All zones of the tz database, 2015 to 2035, all policies: no difference."""
    found: list[str] = []
    for names in _alike()[part::PARTS]:
        nights: dict[Readings, list[int]] = {}
        for name in names:
            readings = read_clock(ZoneInfo(name), START, STOP)
            if readings not in nights:
                clock = wall_clock(readings)
                found += _all_differences(name, clock)
                nights[readings] = expected(NIGHTLY, clock, DstPolicy.STANDARD, START, STOP)
            elif minutes_of(fire_times(NIGHTLY.text, name).within(START, STOP)) != nights[readings]:
                found.append(f"{name}: differs from its alias")
    assert found == []


@pytest.mark.long
def test_every_zone_has_a_part() -> None:
    """None of the names is left out by the grouping, and there are as many as tz has."""
    named = [name for part in range(PARTS) for names in _alike()[part::PARTS] for name in names]
    assert sorted(named) == sorted(available_timezones() - _NOT_PORTABLE)
    assert len(named) > 500
