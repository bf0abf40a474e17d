"""Which due occurrences of a job run, and why the others do not. Pure.

Every occurrence in ``(after, upper]`` ends in exactly one place of the plan: a
run, or a span of skips.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, assert_never

from jobu_core.models import MisfirePolicy, OverlapPolicy, SkipReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime


class Occurrences(Protocol):
    """The fire times of a job, as ``FireTimes`` knows them."""

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield the instants later than ``instant``, ascending."""

    def before(self, instant: datetime) -> Iterator[datetime]:
        """Yield the instants earlier than ``instant``, descending."""

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many instants lie in ``(after, until]``."""

    def left_out(self, after: datetime, until: datetime) -> list[datetime]:
        """Return the instants in ``(after, until]`` that a clock change took away."""


@dataclass(frozen=True, slots=True)
class MisfireRules:
    """What counts as missed, and what becomes of it; durations in seconds."""

    policy: MisfirePolicy
    grace_seconds: float
    threshold_seconds: float
    max_catchup: int


@dataclass(frozen=True, slots=True)
class Run:
    """An occurrence that runs, with the interval of data it stands for."""

    scheduled_time: datetime
    interval_start: datetime | None
    """None only for the very first occurrence an expression can have."""

    @property
    def interval_end(self) -> datetime:
        """The end of the half-open interval: the occurrence itself."""
        return self.scheduled_time


@dataclass(frozen=True, slots=True)
class Span:
    """Occurrences that do not run, for one reason; ``first`` to ``last``, inclusive."""

    reason: SkipReason
    first: datetime
    last: datetime
    count: int
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of every due occurrence, before overlap is looked at."""

    runs: tuple[Run, ...] = ()
    skips: tuple[Span, ...] = ()


def plan(times: Occurrences, after: datetime, upper: datetime, rules: MisfireRules) -> Plan:
    """Decide every occurrence in ``(after, upper]``.

    On time = at most the threshold before ``upper``; these always run. Of the
    missed ones at most the newest ``max_catchup`` within the grace are looked at,
    the older are one misfired span.
    """
    on_time = _due(times, max(after, upper - _seconds(rules.threshold_seconds) - _TICK), upper)
    first_on_time = on_time[0] if on_time else upper + _TICK
    missed = _newest_missed(times, after, first_on_time, upper, rules)
    oldest = (missed or on_time or [upper + _TICK])[0]
    lost = _span(times, after, oldest, SkipReason.MISFIRED)
    chosen, coalesced = _choose(missed, on_time, rules.policy)
    skips = [lost] if lost else []
    if coalesced:
        skips.append(
            Span(
                SkipReason.COALESCED,
                coalesced[0],
                coalesced[-1],
                len(coalesced),
                f"into {chosen[0].isoformat()}",
            ),
        )
    skips += _gaps(times.left_out(after, upper), skips)
    runs = [Run(at, _previous(times, at)) for at in chosen]
    if coalesced:
        runs[0] = Run(chosen[0], _previous(times, coalesced[0]))
    return Plan(tuple(runs), tuple(skips))


def whole_span(
    times: Occurrences,
    after: datetime,
    upper: datetime,
    reason: SkipReason,
    detail: str | None = None,
) -> Span | None:
    """Return all occurrences in ``(after, upper]`` as one span; None if there is none."""
    return _span(times, after, upper + _TICK, reason, detail)


def admits(policy: OverlapPolicy, active: int) -> bool:
    """Say whether one more execution may be made beside ``active`` unfinished ones."""
    match policy:
        case OverlapPolicy.ALLOW | OverlapPolicy.QUEUE_ALL | OverlapPolicy.REPLACE:
            return True
        case OverlapPolicy.SKIP:
            return active == 0
        case OverlapPolicy.QUEUE_ONE:
            return active <= 1
        case _:
            assert_never(policy)


_TICK = timedelta(microseconds=1)
"""The smallest distance between two instants; turns ≤ into <."""


def _seconds(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _gaps(left_out: Sequence[datetime], skips: Sequence[Span]) -> list[Span]:
    """Return a span for each left-out time; a span around it says already why it did not run."""
    return [
        Span(SkipReason.GAP, at, at, 1, "clocks went forward over its time")
        for at in left_out
        if not any(span.first <= at <= span.last for span in skips)
    ]


def _due(times: Occurrences, after: datetime, upper: datetime) -> list[datetime]:
    due = []
    for at in times.after(after):
        if at > upper:
            break
        due.append(at)
    return due


def _newest_missed(
    times: Occurrences,
    after: datetime,
    first_on_time: datetime,
    upper: datetime,
    rules: MisfireRules,
) -> list[datetime]:
    """Return the missed occurrences that may still count, ascending."""
    if rules.policy is MisfirePolicy.NONE:
        return []
    oldest = upper - _seconds(rules.grace_seconds)
    newest: list[datetime] = []
    for at in times.before(first_on_time):
        if at <= after or at < oldest or len(newest) == rules.max_catchup:
            break
        newest.append(at)
    return newest[::-1]


def _choose(
    missed: Sequence[datetime],
    on_time: Sequence[datetime],
    policy: MisfirePolicy,
) -> tuple[list[datetime], list[datetime]]:
    """Return the occurrences that run, and those coalesced into the first of them."""
    if policy is MisfirePolicy.LATEST and on_time:
        return list(on_time), list(missed)
    if policy is MisfirePolicy.LATEST:
        return list(missed[-1:]), list(missed[:-1])
    return [*missed, *on_time], []


def _span(
    times: Occurrences,
    after: datetime,
    before: datetime,
    reason: SkipReason,
    detail: str | None = None,
) -> Span | None:
    """Return the occurrences in ``(after, before)``, both ends exclusive, as one span."""
    count = times.count(after, before - _TICK)
    if count == 0:
        return None
    first = next(iter(times.after(after)))
    last = next(iter(times.before(before)))
    return Span(reason, first, last, count, detail)


def _previous(times: Occurrences, at: datetime) -> datetime | None:
    return next(iter(times.before(at)), None)
