"""Hypothesis strategies for cron: expressions with what they mean, zones, instants.

A field is drawn as text together with the set of values it stands for, so that the
oracles need no parser.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",  # clocks change at midnight
    "America/Sao_Paulo",  # so did these, until 2019
    "Australia/Lord_Howe",  # half an hour
    "Antarctica/Troll",  # two hours
    "Africa/Casablanca",  # around Ramadan, negative DST
    "Africa/Cairo",
    "Pacific/Apia",  # a whole day was left out in 2011
    "Asia/Kathmandu",
    "Asia/Seoul",
)

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True)
class Field:
    """One cron field: how it is written and which values it means."""

    text: str
    values: frozenset[int]


@dataclass(frozen=True)
class Drawn:
    """An expression and the meaning of its five fields."""

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def text(self) -> str:
        """The expression as somebody would write it."""
        fields = (self.minute, self.hour, self.day, self.month, self.weekday)
        return " ".join(field.text for field in fields)

    @property
    def follows_real_time(self) -> bool:
        """Minute or hour is "every …"."""
        return any(
            field.text.startswith("*") or len(field.values) == size
            for field, size in ((self.minute, 60), (self.hour, 24))
        )

    def matches(self, wall: datetime) -> bool:
        """Say whether the wall clock ``wall`` (whole minutes) is one of its times."""
        if wall.minute not in self.minute.values or wall.hour not in self.hour.values:
            return False
        if wall.month not in self.month.values:
            return False
        day = wall.day in self.day.values
        weekday = wall.isoweekday() % 7 in self.weekday.values
        if self.day.text != "*" and self.weekday.text != "*":
            return day or weekday
        return day and weekday


def _fields(low: int, high: int, *, stars: bool = True) -> st.SearchStrategy[Field]:
    every = frozenset(range(low, high + 1))
    number = st.integers(low, high)
    single = number.map(lambda at: Field(str(at), frozenset({at})))
    ranges = (
        st.tuples(number, number)
        .filter(lambda ends: ends[0] != ends[1])
        .map(lambda ends: _range(*ends, low, high))
    )
    stepped = st.tuples(number, number, st.integers(1, 30)).filter(lambda it: it[0] < it[1])
    steps = stepped.map(
        lambda it: Field(f"{it[0]}-{it[1]}/{it[2]}", frozenset(range(it[0], it[1] + 1, it[2]))),
    )
    lists = st.lists(st.one_of(single, ranges, steps), min_size=1, max_size=3).map(_join)
    if not stars:
        return lists
    star = st.just(Field("*", every))
    star_step = st.integers(2, 30).map(
        lambda step: Field(f"*/{step}", frozenset(range(low, high + 1, step))),
    )
    return st.one_of(star, star_step, lists)


def _range(first: int, last: int, low: int, high: int) -> Field:
    if first < last:
        return Field(f"{first}-{last}", frozenset(range(first, last + 1)))
    wrapped = frozenset(range(first, high + 1)) | frozenset(range(low, last + 1))
    return Field(f"{first}-{last}", wrapped)


def _join(parts: list[Field]) -> Field:
    values: frozenset[int] = frozenset().union(*(part.values for part in parts))
    return Field(",".join(part.text for part in parts), values)


def _named_weekdays() -> st.SearchStrategy[Field]:
    return st.integers(0, 6).map(lambda at: Field(_WEEKDAYS[at], frozenset({at})))


def expressions() -> st.SearchStrategy[Drawn]:
    """Draw expressions of every shape; some never come (30 February)."""
    star_day = st.just(Field("*", frozenset(range(1, 32))))
    star_month = st.just(Field("*", frozenset(range(1, 13))))
    star_weekday = st.just(Field("*", frozenset(range(7))))
    return st.builds(
        Drawn,
        minute=_fields(0, 59),
        hour=_fields(0, 23),
        day=st.one_of(star_day, star_day, _fields(1, 31)),
        month=st.one_of(star_month, star_month, _fields(1, 12)),
        weekday=st.one_of(star_weekday, star_weekday, _named_weekdays(), _fields(0, 6)),
    )


def zones() -> st.SearchStrategy[ZoneInfo]:
    """Draw zones with every kind of clock change."""
    return st.sampled_from(ZONES).map(ZoneInfo)


@st.composite
def windows(draw: st.DrawFn, days: int = 3) -> tuple[ZoneInfo, datetime, datetime]:
    """Draw a zone and a stretch of UTC time; most begin, end or lie around a clock change."""
    zone = draw(zones())
    year = draw(st.integers(2005, 2036))
    changes = clock_changes(zone.key, year)
    new_year = datetime(year, 1, 1, tzinfo=UTC)
    anchor = new_year + timedelta(days=draw(st.integers(0, 364)))
    if changes:
        anchor = draw(st.sampled_from((anchor, *changes)))
    anchor += timedelta(minutes=draw(st.integers(-120, 120)), seconds=draw(st.integers(0, 59)))
    start = anchor - timedelta(days=draw(st.integers(0, days)))
    return zone, start, start + timedelta(days=days)


@lru_cache(maxsize=1000)
def clock_changes(key: str, year: int) -> tuple[datetime, ...]:
    """Return the first hours of UTC with a new offset, in one year of a zone."""
    zone = ZoneInfo(key)
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(8784)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    return tuple(
        hour
        for hour, before, offset in zip(hours[1:], offsets, offsets[1:], strict=False)
        if before != offset
    )
