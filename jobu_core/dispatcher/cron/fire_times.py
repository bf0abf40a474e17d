"""When a cron job fires: naive wall-clock times mapped to instants of UTC.

Pure. ``standard`` is what cron users know: a job at fixed times runs once even
when clocks change (shifted to the first valid instant of a gap, the first of two
in a fold). ``skip`` leaves out what falls into a gap; ``both`` fires in each pass
of a fold. An expression whose minute or hour begins with ``*`` follows real time
under every policy: it fires whenever the wall clock shows a matching minute.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from jobu_core.config.sources import suggest
from jobu_core.dispatcher.cron.expression import Calendar, parse
from jobu_core.errors import InvalidCron
from jobu_core.models import DstPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NOT_PORTABLE: Final = frozenset({"localtime", "Factory", "posixrules"})
_DAY: Final = timedelta(days=1)
_NO_TIME: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class FireTimes:
    """The instants at which one expression fires in one zone; all are UTC."""

    calendar: Calendar
    zone: ZoneInfo
    dst_policy: DstPolicy = DstPolicy.STANDARD

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield the instants later than ``instant``, ascending, each once."""
        local = instant.astimezone(self.zone)
        start = local.replace(tzinfo=None, fold=0)
        if local.fold == 0:
            start -= _fold_width(local)  # those times come again in the second pass
        last = instant
        for fire in self._ascending(self.calendar.after(start)):
            if fire > last:
                yield fire
                last = fire

    def before(self, instant: datetime) -> Iterator[datetime]:
        """Yield the instants earlier than ``instant``, descending, each once."""
        local = instant.astimezone(self.zone)
        start = local.replace(tzinfo=None, fold=0)
        if local.fold == 1:
            start += _fold_width(local)  # those times came already in the first pass
        last = instant
        for fire in self._descending(self.calendar.before(start)):
            if fire < last:
                yield fire
                last = fire

    def within(self, after: datetime, until: datetime) -> list[datetime]:
        """Return the instants in ``(after, until]``, ascending."""
        return list(takewhile(lambda at: at <= until, self.after(after)))

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first instant later than ``instant``; None beyond the horizon."""
        return next(self.after(instant), None)

    def previous(self, instant: datetime) -> datetime | None:
        """Return the last instant earlier than ``instant``; None beyond the horizon."""
        return next(self.before(instant), None)

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many instants lie in ``(after, until]``, without visiting each.

        Days on which the zone's offset stays the same are counted by arithmetic,
        the few others by enumeration.
        """
        total = 0
        for start, end in _days(after, until):
            if self._keeps_its_offset(start, end):
                first, last = (at.astimezone(self.zone).replace(tzinfo=None) for at in (start, end))
                total += self.calendar.count(first, last)
            else:
                total += len(self.within(start, end))
        return total

    def left_out(self, after: datetime, until: datetime) -> list[datetime]:
        """Return the instants in ``(after, until]`` that ``skip`` leaves out, ascending.

        Each is the end of a gap, where ``standard`` would have fired. One at which
        the expression fires anyway is not left out.
        """
        if self.dst_policy is not DstPolicy.SKIP or self.calendar.follows_real_time:
            return []
        standard = replace(self, dst_policy=DstPolicy.STANDARD)
        missing = []
        for start, end in _days(after, until):
            if not self._keeps_its_offset(start, end):
                own = set(self.within(start, end))
                missing += [at for at in standard.within(start, end) if at not in own]
        return missing

    def _keeps_its_offset(self, start: datetime, end: datetime) -> bool:
        """Say whether no clock change reaches into ``(start, end]``, at most a day."""
        instants = (start - _DAY, start, end)
        return len({at.astimezone(self.zone).utcoffset() for at in instants}) == 1

    def _ascending(self, times: Iterable[datetime]) -> Iterator[datetime]:
        again: deque[datetime] = deque()
        for naive in times:
            first, second = self._instants(naive)
            if first is None:
                continue
            while again and again[0] < first:
                yield again.popleft()
            yield first
            if second is not None:
                again.append(second)
        yield from again

    def _descending(self, times: Iterable[datetime]) -> Iterator[datetime]:
        earlier: deque[datetime] = deque()
        for naive in times:
            first, second = self._instants(naive)
            if first is None:
                continue
            while earlier and earlier[0] > (second or first):
                yield earlier.popleft()
            yield second or first
            if second is not None:
                earlier.append(first)
        yield from earlier

    def _instants(self, naive: datetime) -> tuple[datetime | None, datetime | None]:
        """Return the instants of one wall-clock time: none, one, or a fold's two."""
        local = naive.replace(tzinfo=self.zone, fold=0)
        offset = local.utcoffset() or _NO_TIME
        other = local.replace(fold=1).utcoffset() or _NO_TIME
        first = (naive - offset).replace(tzinfo=UTC)
        if offset == other:
            return first, None
        second = (naive - other).replace(tzinfo=UTC)
        if offset < other:  # a gap: the wall clock never shows this time
            if self.calendar.follows_real_time or self.dst_policy is DstPolicy.SKIP:
                return None, None
            return transition(self.zone, second, first), None
        twice = self.calendar.follows_real_time or self.dst_policy is DstPolicy.BOTH
        return first, second if twice else None


def validate(
    expression: str,
    timezone: str,
    dst_policy: DstPolicy = DstPolicy.STANDARD,
    *,
    min_interval_seconds: int = 60,
) -> FireTimes:
    """Return the fire times of what somebody wants to save.

    Raises InvalidCron (naming what is wrong). Distances are those of the wall clock.
    """
    times = fire_times(expression, timezone, dst_policy)
    shortest = times.calendar.shortest_interval()
    if shortest < timedelta(seconds=min_interval_seconds):
        msg = (
            f"cron expression {expression!r} fires every {int(shortest.total_seconds())} s;"
            f" dispatcher.min_cron_interval_seconds is {min_interval_seconds}"
        )
        raise InvalidCron(msg)
    return times


def fire_times(
    expression: str,
    timezone: str,
    dst_policy: DstPolicy = DstPolicy.STANDARD,
) -> FireTimes:
    """Return the fire times of a stored job; raises as ``validate`` does."""
    return FireTimes(parse(expression), zone_of(timezone), dst_policy)


def dst_policy_of(name: str) -> DstPolicy:
    """Return the DST policy called ``name``; raises InvalidCron with the known ones."""
    try:
        return DstPolicy(name)
    except ValueError:
        msg = f"dst_policy {name!r} is unknown; known are {', '.join(DstPolicy)}"
        raise InvalidCron(msg) from None


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone called ``name``; raises InvalidCron with the nearest name."""
    if name not in _NOT_PORTABLE:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass  # answered below, with a suggestion
    by_folded = {known.casefold(): known for known in _zone_names()}
    nearest = by_folded.get(name.strip().casefold())
    hint = f" (did you mean {nearest!r}?)" if nearest else suggest(name, _zone_names())
    msg = f"timezone {name!r} is unknown{hint}"
    raise InvalidCron(msg)


@lru_cache(maxsize=1)
def _zone_names() -> tuple[str, ...]:
    """List the zones once; the files behind them do not change under a process."""
    return tuple(sorted(available_timezones() - _NOT_PORTABLE))


def _days(after: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cut ``(after, until]`` into stretches of at most a day."""
    start = after.astimezone(UTC)
    stop = until.astimezone(UTC)
    while start < stop:
        end = min(start + _DAY, stop)
        yield start, end
        start = end


def _fold_width(local: datetime) -> timedelta:
    """Return how much of the wall clock comes twice around ``local``; zero if none does."""
    offset = local.replace(fold=0).utcoffset() or _NO_TIME
    other = local.replace(fold=1).utcoffset() or _NO_TIME
    return max(offset - other, _NO_TIME)


def transition(zone: ZoneInfo, earlier: datetime, later: datetime) -> datetime:
    """Return the first whole second in ``(earlier, later]`` with the offset of ``later``."""
    target = later.astimezone(zone).utcoffset()
    low, high = 0, int((later - earlier).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if (earlier + timedelta(seconds=middle)).astimezone(zone).utcoffset() == target:
            high = middle
        else:
            low = middle
    return earlier + timedelta(seconds=high)
