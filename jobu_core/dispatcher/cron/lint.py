"""What is allowed in a cron expression but may not be what its author meant. Pure.

What can never run is refused by ``expression.parse`` and ``fire_times.zone_of``.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from jobu_core.dispatcher.cron.clock_changes import clock_changes
from jobu_core.dispatcher.cron.expression import FIELDS, fields_of
from jobu_core.dispatcher.cron.zone_names import new_name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from jobu_core.dispatcher.cron.expression import Calendar
    from jobu_core.dispatcher.cron.fire_times import FireTimes

LOOK_AHEAD: Final = timedelta(days=366)
"""How far clock changes are looked for: one of each kind lies within a year."""

_MINUTE: Final = 0
_HOUR: Final = 1
_DAY: Final = 2
_WEEKDAY: Final = 4
_SIZES: Final = (60, 24, 31, 12, 7)
_LAST: Final = (59, 23, 31, 12, 6)
_LEAP_YEAR, _PLAIN_YEAR = 2024, 2023
_STEP: Final = re.compile(r"\*/([0-9]+)")
_OPEN_STEP: Final = re.compile(r"([0-9a-z]+)/([0-9]+)")
_RANGE: Final = re.compile(r"([0-9]+)-([0-9]+)")


@dataclass(frozen=True, slots=True)
class CronWarning:
    """One thing worth a second look: a stable slug, and a sentence."""

    code: str
    message: str


def warnings_of(expression: str, times: FireTimes, now: datetime) -> list[CronWarning]:
    """Return what may surprise in an expression that ``times`` was made from."""
    fields = fields_of(expression)
    return [
        *_days_that_add_up(fields),
        *_steps(fields),
        *_every_minute(fields),
        *_hours_over_midnight(fields, times.calendar),
        *_months_without_a_day(times.calendar),
        *_clock_changes(times, now),
        *_zone(times.zone.key),
    ]


def _days_that_add_up(fields: Sequence[str]) -> Iterator[CronWarning]:
    day, weekday = fields[_DAY], fields[_WEEKDAY]
    if not {day, weekday} & {"*", "?"}:
        yield CronWarning(
            "either_day_field",
            f"runs on days {day!r} and also on weekdays {weekday!r}: with both set, either is"
            " enough",
        )


def _steps(fields: Sequence[str]) -> Iterator[CronWarning]:
    for position, field in enumerate(fields):
        for item in field.split(","):
            yield from _step(position, item)


def _step(position: int, item: str) -> Iterator[CronWarning]:
    name, size = FIELDS[position], _SIZES[position]
    if match := _STEP.fullmatch(item):
        step = int(match[1])
        if step >= size:
            yield CronWarning(
                "step_beyond_range",
                f"{name} {item!r} is the first {name} only: a field has no more than {size} values",
            )
        elif size % step:
            yield CronWarning(
                "uneven_step",
                f"{name} {item!r} begins anew with each round of {size}: the last distance is"
                f" {size % step}, not {step}",
            )
    elif match := _OPEN_STEP.fullmatch(item):
        yield CronWarning(
            "open_step",
            f"{name} {item!r} is read as '{match[1]}-{_LAST[position]}/{match[2]}'; other crons"
            " refuse it",
        )


def _every_minute(fields: Sequence[str]) -> Iterator[CronWarning]:
    if fields[_MINUTE] == "*" and not fields[_HOUR].startswith("*"):
        yield CronWarning(
            "every_minute_of_an_hour",
            f"'* {fields[_HOUR]}' is each of the 60 minutes of these hours; once is"
            f" '0 {fields[_HOUR]}'",
        )


def _hours_over_midnight(fields: Sequence[str], calendar: Calendar) -> Iterator[CronWarning]:
    if not (calendar.day_is_set or calendar.weekday_is_set):
        return
    for item in fields[_HOUR].split(","):
        match = _RANGE.fullmatch(item)
        if match and int(match[1]) > int(match[2]):
            yield CronWarning(
                "hours_over_midnight",
                f"hour {item!r} goes over midnight, but the days are those of each time: hours"
                f" 0-{match[2]} are the first of a matching day, not those that follow its end",
            )


def _months_without_a_day(calendar: Calendar) -> Iterator[CronWarning]:
    if not calendar.day_is_set or calendar.weekday_is_set:
        return

    def has_one(year: int, month: int) -> bool:
        days = (date(year, month, day) for day in range(1, monthrange(year, month)[1] + 1))
        return any(calendar.has_day(day) for day in days)

    never = [month for month in sorted(calendar.months) if not has_one(_LEAP_YEAR, month)]
    if never:
        names = ", ".join(f"{date(_LEAP_YEAR, month, 1):%B}" for month in never)
        yield CronWarning(
            "month_without_day",
            f"does not run in {names}: no such day there; 'L' is the last day of any month",
        )
    february = 2
    if february in calendar.months and february not in never and not has_one(_PLAIN_YEAR, february):
        yield CronWarning("leap_years_only", "runs in February of leap years only")


def _clock_changes(times: FireTimes, now: datetime) -> Iterator[CronWarning]:
    seen: set[bool] = set()
    for change in clock_changes(times, now, now + LOOK_AHEAD):
        if not change.touched or change.is_gap in seen or times.calendar.follows_real_time:
            continue
        seen.add(change.is_gap)
        low, high = sorted((change.wall_before, change.wall_after))
        yield CronWarning(
            "time_in_gap" if change.is_gap else "time_in_fold",
            f"on {low:%Y-%m-%d} the times from {low:%H:%M} to {high:%H:%M}"
            f" {'do not come' if change.is_gap else 'come twice'} in {times.zone.key}:"
            f" those of this expression {change.effect}",
        )


def _zone(name: str) -> Iterator[CronWarning]:
    if name.startswith(("Etc/GMT+", "Etc/GMT-")) and name[len("Etc/GMT+") :] != "0":
        sign = "-" if "+" in name else "+"
        yield CronWarning(
            "inverted_sign",
            f"{name} is UTC{sign}{name[len('Etc/GMT+') :]}: its sign is the reverse of the usual",
        )
    current = new_name_of(name)
    if current is not None:
        yield CronWarning(
            "old_zone_name",
            f"{name} is an old name that some systems leave out; it is {current} today",
        )
