"""A cron expression as plain sets of numbers, and the naive wall-clock times it names.

Pure, and knows no time zone: ``fire_times.py`` maps these times to instants.
croniter reads the fields; which days and minutes follow is counted here, because
croniter has to walk one occurrence at a time.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Final

from croniter import CroniterError, croniter

from jobu_core.errors import InvalidCron

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_LENGTH: Final = 255
HORIZON_YEARS: Final = 60
"""How far a search looks; the rarest day, a fifth weekday of February, comes in 40."""

_LAST_YEAR: Final = 9990
_SAMPLE_START: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - a wall clock has no zone
_SAMPLE_DAYS: Final = 1500
_ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS: Final = ("minute", "hour", "day of month", "month", "day of week")
_DAY: Final = 2
_WEEKDAY: Final = 4
_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES: Final[tuple[Mapping[str, int], ...]] = (
    {},
    {},
    {},
    {name: number for number, name in enumerate(_MONTHS, start=1)},
    {name: number for number, name in enumerate(_WEEKDAYS)},
)
_PLAIN: Final = re.compile(
    r"(?P<low>[0-9]+|[a-z]{3})(?:-(?P<high>[0-9]+|[a-z]{3}))?(?P<step>/[0-9]+)?"
)
_NTH: Final = re.compile(r"(?:[0-7]|[a-z]{3})#[1-5]|l[0-7]")
_RANDOM: Final = re.compile(r"[hr](?:\([0-9]+-[0-9]+\))?(?:/[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Calendar:
    """What an expression matches; weekdays count from Sunday = 0."""

    times: tuple[time, ...]
    """Times of day, ascending; the same on every matching day."""
    months: frozenset[int]
    days: frozenset[int]
    last_day: bool
    weekdays: frozenset[int]
    nth_weekdays: frozenset[tuple[int, int]]
    """(weekday, n-th of the month); n = -1 is the last."""
    day_is_set: bool
    weekday_is_set: bool
    follows_real_time: bool
    """Minute or hour begins with ``*``: "every …", as opposed to fixed times."""

    def after(self, start: datetime) -> Iterator[datetime]:
        """Yield the naive times later than ``start``, ascending, within the horizon."""
        for day in self._days_from(start.date()):
            skipped = bisect_right(self.times, start.time()) if day == start.date() else 0
            for moment in self.times[skipped:]:
                yield datetime.combine(day, moment)

    def before(self, start: datetime) -> Iterator[datetime]:
        """Yield the naive times earlier than ``start``, descending, within the horizon."""
        for day in self._days_back_from(start.date()):
            kept = bisect_left(self.times, start.time()) if day == start.date() else None
            for moment in reversed(self.times[:kept]):
                yield datetime.combine(day, moment)

    def count(self, start: datetime, stop: datetime) -> int:
        """Return how many naive times lie in ``(start, stop]``."""
        total = 0
        day = start.date()
        while day <= stop.date():
            if day.month in self.months and self.has_day(day):
                low = bisect_right(self.times, start.time()) if day == start.date() else 0
                high = len(self.times)
                if day == stop.date():
                    high = bisect_right(self.times, stop.time())
                total += max(0, high - low)
            day += timedelta(days=1)
        return total

    def has_day(self, day: date) -> bool:
        """Say whether the day fields match; both set means either, as in classic cron.

        Set is a field that is not a bare ``*`` or ``?``; ``*/2`` is set.
        """
        if self.day_is_set and self.weekday_is_set:
            return self._day_of_month_matches(day) or self._weekday_matches(day)
        if self.day_is_set:
            return self._day_of_month_matches(day)
        return not self.weekday_is_set or self._weekday_matches(day)

    def shortest_interval(self) -> timedelta:
        """Return the shortest wall-clock distance between two neighbouring times."""
        offsets = [timedelta(hours=at.hour, minutes=at.minute) for at in self.times]
        distances = [later - earlier for earlier, later in pairwise(offsets)]
        days = islice(self._days_from(_SAMPLE_START.date()), _SAMPLE_DAYS)
        apart = [later - earlier for earlier, later in pairwise(days)]
        if apart:
            distances.append(min(apart) + offsets[0] - offsets[-1])
        return min(distances, default=timedelta(days=366))

    def _day_of_month_matches(self, day: date) -> bool:
        if day.day in self.days:
            return True
        return self.last_day and day.day == monthrange(day.year, day.month)[1]

    def _weekday_matches(self, day: date) -> bool:
        weekday = day.isoweekday() % 7
        if weekday in self.weekdays:
            return True
        if not self.nth_weekdays:
            return False
        is_last = day.day + 7 > monthrange(day.year, day.month)[1]
        nth = (day.day - 1) // 7 + 1
        return (weekday, nth) in self.nth_weekdays or (
            is_last and (weekday, -1) in self.nth_weekdays
        )

    def _days_from(self, first: date) -> Iterator[date]:
        for year in range(first.year, min(first.year + HORIZON_YEARS, _LAST_YEAR) + 1):
            for month in sorted(self.months):
                for day in self._days_of(year, month):
                    if day >= first:
                        yield day

    def _days_back_from(self, last: date) -> Iterator[date]:
        for year in range(last.year, max(last.year - HORIZON_YEARS, 1), -1):
            for month in sorted(self.months, reverse=True):
                for day in reversed(self._days_of(year, month)):
                    if day <= last:
                        yield day

    def _days_of(self, year: int, month: int) -> list[date]:
        days = (date(year, month, day) for day in range(1, monthrange(year, month)[1] + 1))
        return [day for day in days if self.has_day(day)]


def parse(expression: str) -> Calendar:
    """Read a five-field expression or ``@hourly`` … ``@yearly``.

    Raises InvalidCron for everything else, saying what is wrong, and for an
    expression that never comes, such as 31 February.
    """
    fields = fields_of(expression)
    for position, field in enumerate(fields):
        _check_field(position, field)
    try:
        expanded, nth = croniter.expand(" ".join(fields))
    except (CroniterError, ValueError) as error:
        msg = f"cron expression {expression!r}: {error}"
        raise InvalidCron(msg) from error
    calendar = _calendar(fields, expanded, nth)
    if next(calendar.after(_SAMPLE_START), None) is None:
        msg = f"cron expression {expression!r} never comes: no month has such a day"
        raise InvalidCron(msg)
    return calendar


def fields_of(expression: str) -> list[str]:
    """Return the five fields in lower case, an alias written out; raises InvalidCron."""
    if len(expression) > MAX_LENGTH:
        msg = f"a cron expression has at most {MAX_LENGTH} characters"
        raise InvalidCron(msg)
    text = expression.strip(" \t").lower()
    if text.startswith("@"):
        if text not in _ALIASES:
            msg = f"cron expression {expression!r}: known aliases are {', '.join(_ALIASES)}"
            raise InvalidCron(msg)
        text = _ALIASES[text]
    fields = re.split(r"[ \t]+", text)
    if len(fields) != len(FIELDS):
        msg = (
            f"cron expression {expression!r} has {len(fields)} fields; needed are five:"
            f" {', '.join(FIELDS)} (no seconds, no years)"
        )
        raise InvalidCron(msg)
    return fields


def _check_field(position: int, field: str) -> None:
    """Refuse what croniter would take but cron does not mean."""
    if field == "*" or (field == "?" and position in {_DAY, _WEEKDAY}):
        return
    items = field.split(",")
    for item in items:
        if _RANDOM.fullmatch(item):
            raise _refused(position, field, "random and hashed times (R, H) are not supported")
        if not _is_special(position, item):
            _check_item(position, field, item)
    special = [position == _WEEKDAY and _NTH.fullmatch(item) is not None for item in items]
    if any(special) and not all(special):
        raise _refused(position, field, "n-th weekdays cannot be mixed with plain ones")


def _is_special(position: int, item: str) -> bool:
    if re.fullmatch(r"\*/[0-9]+", item):
        return True
    if position == _DAY:
        return item == "l"
    return position == _WEEKDAY and _NTH.fullmatch(item) is not None


def _check_item(position: int, field: str, item: str) -> None:
    match = _PLAIN.fullmatch(item)
    if match is None:
        raise _refused(position, field, f"{item!r} is not a number, name, range or step")
    if match["high"] is None:
        return
    low, high = _number(position, field, match["low"]), _number(position, field, match["high"])
    if low == high:  # croniter reads 5-5 as the whole field
        raise _refused(position, field, f"{item!r} is one value; write {match['low']!r}")
    if low > high and match["step"]:
        raise _refused(position, field, f"{item!r} steps through a range that wraps around")


def _number(position: int, field: str, text: str) -> int:
    if text.isdecimal():
        return int(text)
    if text not in _NAMES[position]:
        raise _refused(position, field, f"{text!r} is no name")
    return _NAMES[position][text]


def _refused(position: int, field: str, why: str) -> InvalidCron:
    return InvalidCron(f"cron field {FIELDS[position]} {field!r}: {why}")


def _calendar(fields: list[str], expanded: list[Any], nth: dict[Any, Any]) -> Calendar:
    minutes, hours, days, months, weekdays = expanded
    times = [
        time(hour, minute)
        for hour in _values(hours, range(24))
        for minute in _values(minutes, range(60))
    ]
    wildcard = any(
        field.startswith("*") or values == ["*"]
        for field, values in zip(fields[:_DAY], expanded[:_DAY], strict=True)
    )
    return Calendar(
        times=tuple(sorted(times)),
        months=frozenset(_values(months, range(1, 13))),
        days=frozenset(_values([day for day in days if day != "l"], range(1, 32))),
        last_day="l" in days,
        weekdays=frozenset() if nth else frozenset(_values(weekdays, range(7))),
        nth_weekdays=frozenset(
            (int(weekday), -1 if which == "l" else int(which))
            for weekday, every in nth.items()
            for which in every
        ),
        day_is_set=fields[_DAY] not in {"*", "?"},
        weekday_is_set=fields[_WEEKDAY] not in {"*", "?"},
        follows_real_time=wildcard,
    )


def _values(expanded: list[Any], every: range) -> list[int]:
    return list(every) if expanded == ["*"] else [int(value) for value in expanded]
