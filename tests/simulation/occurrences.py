"""Which cron occurrences a transaction had to decide, counted minute by minute.

Independent of jobu's own fire times: the simulation's jobs use a few expressions
in UTC whose meaning is written down here.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.simulation.store import Change

MEANING: Final[Mapping[str, Callable[[int], bool]]] = {
    "* * * * *": lambda minute: minute >= 0,
    "*/2 * * * *": lambda minute: minute % 2 == 0,
    "*/5 * * * *": lambda minute: minute % 5 == 0,
    "7 * * * *": lambda minute: minute == 7,
}
"""Expression → whether it fires in a minute of the hour."""

SKEW: Final = timedelta(seconds=5)
_MINUTE: Final = timedelta(minutes=1)


def due(expression: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the fire times in ``(after, until]``."""
    fires = MEANING[expression]
    at = after.replace(second=0, microsecond=0) + _MINUTE
    while at <= until:
        if fires(at.minute):
            yield at
        at += _MINUTE


def misjudged(changes: Sequence[Change], now: datetime) -> Iterator[str]:
    """Say what is wrong with how one transaction decided occurrences."""
    moves = {
        change.new["id"]: change
        for change in changes
        if change.table == "cron_jobs"
        and change.old
        and change.new
        and change.old["dispatched_until"] != change.new["dispatched_until"]
    }
    decided = _decided(changes)
    for job_id, move in moves.items():
        yield from _compare(job_id, move, decided.pop(job_id, Counter()), now)
    for job_id, times in decided.items():
        yield f"cron job {job_id}: {_texts(times)} decided without moving the watermark"


def _compare(
    job_id: int,
    move: Change,
    decided: Counter[datetime],
    now: datetime,
) -> Iterator[str]:
    before, after = (_time(row["dispatched_until"]) for row in (move.old, move.new))
    if after < before:
        yield f"cron job {job_id}: its watermark fell from {before:%d %H:%M:%S} to {after:%H:%M:%S}"
        return
    if after > max(move.at, now) + SKEW:
        yield f"cron job {job_id}: its watermark is ahead of the time"
    wanted = Counter(due(move.old["cron_expression"], before, after))
    if missing := wanted - decided:
        yield f"cron job {job_id}: {_texts(missing)} were not decided"
    if extra := decided - wanted:
        yield f"cron job {job_id}: {_texts(extra)} were decided beyond what was due"


def _decided(changes: Sequence[Change]) -> dict[int, Counter[datetime]]:
    """Return per job the occurrences that became rows or skips in this transaction."""
    expressions = {
        change.old["id"]: change.old["cron_expression"]
        for change in changes
        if change.table == "cron_jobs" and change.old
    }
    found: dict[int, Counter[datetime]] = {}
    for change in changes:
        if change.old or not change.new:
            continue
        if change.table == "job_executions" and change.new["trigger"] == "schedule":
            times = [_time(change.new["scheduled_time"])]
        elif change.table == "dispatch_skips":
            times = _span(change.new, expressions)
        else:
            continue
        found.setdefault(change.new["job_id"], Counter()).update(times)
    return found


def _span(skip: dict[str, Any], expressions: Mapping[int, str]) -> list[datetime]:
    """Return every occurrence of a skip; as many as it counts, or one more to be noticed."""
    first = _time(skip["scheduled_time"])
    if skip["until"] is None:
        return [first] * int(skip["count"])
    before = first - timedelta(microseconds=1)
    times = list(due(expressions[skip["job_id"]], before, _time(skip["until"])))
    return times if len(times) == skip["count"] else [*times, first]


def _texts(times: Counter[datetime]) -> str:
    return ", ".join(f"{at:%d %H:%M}" for at in sorted(times)[:5])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
