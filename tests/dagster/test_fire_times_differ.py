"""Where jobu's fire times and those of Dagster's own schedules differ: docs/time.md, no more.

jobu never asks Dagster when a job is due: its schedules tick every minute. But who moves
a schedule from Dagster to jobu should know what changes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from dagster._utils.schedules import cron_string_iterator
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from jobu_core.dispatcher.cron.fire_times import fire_times
from jobu_core.errors import InvalidCron
from tests.cron_oracle import (
    expected_of_dagster,
    minutes_of,
    read_clock,
    wall_clock,
)
from tests.cron_strategies import Drawn, Field, clock_changes, expressions

if TYPE_CHECKING:
    from collections.abc import Iterator

_ORDINARY = (
    "UTC",
    "Asia/Kathmandu",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "Australia/Sydney",
)
"""Clocks change by an hour, at 01:00, 02:00 or 03:00, and are ahead in summer; or never."""

_DAYS, _MONTHS = (Field("*", frozenset(range(1, size))) for size in (32, 13))
_WEEK = Field("*", frozenset(range(7)))
_NIGHTLY = Drawn(Field("30", frozenset({30})), Field("2", frozenset({2})), _DAYS, _MONTHS, _WEEK)


def _of_dagster(expression: str, zone: str, start: datetime) -> Iterator[datetime]:
    fires = cron_string_iterator(start.timestamp(), expression, zone)
    return dropwhile(lambda at: at <= start, (at.astimezone(UTC) for at in fires))


def _comes(drawn: Drawn) -> bool:
    try:
        return fire_times(drawn.text, "UTC") is not None
    except InvalidCron:
        return False


def _writes_out_the_week(drawn: Drawn) -> bool:
    """Say whether croniter takes a field that names all its values for a star."""
    return len(drawn.weekday.values) == 7 or len(drawn.day.values) == 31


@st.composite
def _windows(draw: st.DrawFn) -> tuple[ZoneInfo, datetime]:
    zone = ZoneInfo(draw(st.sampled_from(_ORDINARY)))
    year = draw(st.integers(2015, 2035))
    anchor = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=draw(st.integers(0, 364)))
    anchor = draw(st.sampled_from((anchor, *clock_changes(zone.key, year))))
    return zone, anchor - timedelta(minutes=draw(st.integers(0, 2 * 1440)))


@settings(deadline=None, max_examples=40)
@given(expressions(), _windows())
@example(_NIGHTLY, (ZoneInfo("Europe/Berlin"), datetime(2026, 10, 24, tzinfo=UTC)))
def test_dagster_differs_in_two_points_and_no_other(
    drawn: Drawn,
    window: tuple[ZoneInfo, datetime],
) -> None:
    """The second pass of a fold, and real time only where the hour is a star."""
    zone, start = window
    stop = start + timedelta(days=3)
    assume("*" in {drawn.day.text, drawn.weekday.text} or not _writes_out_the_week(drawn))
    assume(_comes(drawn))
    fires = takewhile(lambda at: at <= stop, _of_dagster(drawn.text, zone.key, start))
    clock = wall_clock(read_clock(zone, start, stop))
    assert minutes_of(list(fires)) == expected_of_dagster(drawn, clock, start, stop)


@pytest.mark.parametrize(
    ("expression", "zone", "start", "ours", "of_dagster"),
    [
        # 02:30 comes twice: the first time, or the second
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", "10-25 00:30", "10-25 01:30"),
        # every half hour of an hour that never comes: not at all, or once
        ("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "03-30 00:00", "03-29 01:00"),
        # clocks change by half an hour: Dagster's hourly jobs keep their distance, not their minute
        ("7 * * * *", "Australia/Lord_Howe", "2026-04-04T15:00", "04-04 15:37", "04-04 15:07"),
        # by two hours: 03:00 is the end of the gap, not 04:00
        ("30 2 * * *", "Antarctica/Troll", "2026-03-28T12:00", "03-29 01:00", "03-29 02:00"),
        # at midnight: 01:00 is the end of the gap, not 01:30
        ("30 0 * * *", "America/Havana", "2026-03-07T12:00", "03-08 05:00", "03-08 05:30"),
        # winter is what tz calls the exception there: Dagster is an hour before the gap's end
        ("30 1 * * *", "Europe/Dublin", "2026-03-28T12:00", "03-29 01:00", "03-29 00:00"),
        ("30 2 * * *", "Africa/Casablanca", "2026-03-21T12:00", "03-22 02:00", "03-22 01:00"),
        # a week written out beside a stepped day: set, so either; or a star
        ("0 0 */2 * 0-6", "UTC", "2026-01-01T12:00", "01-02 00:00", "01-03 00:00"),
    ],
)
def test_differences_that_the_page_lists(
    expression: str,
    zone: str,
    start: str,
    ours: str,
    of_dagster: str,
) -> None:
    """Each line of the table in docs/time.md, as both sides see it today."""
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert f"{next(fire_times(expression, zone).after(begin)):%m-%d %H:%M}" == ours
    assert f"{next(_of_dagster(expression, zone, begin)):%m-%d %H:%M}" == of_dagster
