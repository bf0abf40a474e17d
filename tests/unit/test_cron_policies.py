"""Misfire and overlap, decided without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobu_core.dispatcher.cron.fire_times import FireTimes, fire_times
from jobu_core.dispatcher.cron.policies import (
    MisfireRules,
    Plan,
    Run,
    Span,
    admits,
    plan,
    whole_span,
)
from jobu_core.models import DstPolicy, MisfirePolicy, OverlapPolicy, SkipReason

_MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
_EXPRESSIONS = ("* * * * *", "*/10 * * * *", "0 9 * * *", "15,45 2 * * *", "0 0 29 2 *")


def _at(minutes: float) -> datetime:
    return _MIDNIGHT + timedelta(minutes=minutes)


def _rules(
    policy: MisfirePolicy = MisfirePolicy.LATEST,
    *,
    grace: float = 3600,
    threshold: float = 90,
    max_catchup: int = 100,
) -> MisfireRules:
    return MisfireRules(policy, grace, threshold, max_catchup)


def _due(times: FireTimes, after: datetime, upper: datetime) -> list[datetime]:
    return list(takewhile(lambda at: at <= upper, times.after(after)))


_every_ten = fire_times("*/10 * * * *", "UTC")


def test_nothing_due_is_an_empty_plan() -> None:
    """Between two times there is nothing to decide."""
    assert plan(_every_ten, _at(0), _at(9), _rules()) == Plan()


def test_on_time_runs_under_every_policy() -> None:
    """At most the threshold old: no policy and no grace keeps it from running."""
    for policy in MisfirePolicy:
        decided = plan(_every_ten, _at(5), _at(11), _rules(policy, grace=0))
        assert decided == Plan(runs=(Run(_at(10), _at(0)),))


def test_latest_widens_the_interval_over_what_it_coalesces() -> None:
    """The run stands for all data since the last decided occurrence."""
    decided = plan(_every_ten, _at(0), _at(35), _rules())
    skipped = Span(SkipReason.COALESCED, _at(10), _at(20), 2, f"into {_at(30).isoformat()}")
    assert decided == Plan((Run(_at(30), _at(0)),), (skipped,))


def test_older_than_max_catchup_is_one_span() -> None:
    """Only the newest are looked at; the rest is counted, not visited."""
    decided = plan(_every_ten, _at(0), _at(55), _rules(MisfirePolicy.ALL, max_catchup=2))
    assert [run.scheduled_time for run in decided.runs] == [_at(40), _at(50)]
    assert decided.skips == (Span(SkipReason.MISFIRED, _at(10), _at(30), 3),)


def test_grace_is_inclusive() -> None:
    """Exactly as old as the grace still counts, a moment older does not."""
    rules = _rules(MisfirePolicy.ALL, grace=600)
    assert [run.scheduled_time for run in plan(_every_ten, _at(0), _at(20), rules).runs] == [
        _at(10),
        _at(20),
    ]
    later = _at(20) + timedelta(microseconds=1)
    assert [run.scheduled_time for run in plan(_every_ten, _at(0), later, rules).runs] == [_at(20)]


def test_whole_span_names_first_last_and_count() -> None:
    """Both ends of (after, upper] as in a plan."""
    span = whole_span(_every_ten, _at(10), _at(40), SkipReason.DISABLED, "why")
    assert span == Span(SkipReason.DISABLED, _at(20), _at(40), 3, "why")
    assert whole_span(_every_ten, _at(10), _at(19), SkipReason.DISABLED) is None


@settings(deadline=None, max_examples=200)
@given(
    expression=st.sampled_from(_EXPRESSIONS),
    zone=st.sampled_from(("UTC", "Europe/Berlin")),
    dst_policy=st.sampled_from(list(DstPolicy)),
    start=st.integers(-60 * 24 * 60, 60 * 24 * 60),
    length=st.sampled_from((0.5, 1, 3, 30, 200, 3000)),
    policy=st.sampled_from(list(MisfirePolicy)),
    grace=st.sampled_from((0, 60, 600, 86400)),
    threshold=st.sampled_from((1, 90, 600)),
    max_catchup=st.sampled_from((1, 3, 100)),
)
def test_a_plan_accounts_for_every_due_occurrence_once(
    *,
    expression: str,
    zone: str,
    dst_policy: DstPolicy,
    start: int,
    length: float,
    policy: MisfirePolicy,
    grace: int,
    threshold: int,
    max_catchup: int,
) -> None:
    """Runs and spans together are the due occurrences; on-time ones always run."""
    times = fire_times(expression, zone, dst_policy)
    after, upper = _at(start), _at(start + length)
    rules = _rules(policy, grace=grace, threshold=threshold, max_catchup=max_catchup)
    decided = plan(times, after, upper, rules)
    due = _due(times, after, upper)
    accounted = [run.scheduled_time for run in decided.runs]
    for span in decided.skips:
        if span.reason is SkipReason.GAP:
            assert span.first in times.left_out(after, upper)
            continue
        inside = [at for at in due if span.first <= at <= span.last]
        assert len(inside) == span.count
        assert (inside[0], inside[-1]) == (span.first, span.last)
        accounted += inside
    assert sorted(accounted) == due
    on_time = {at for at in due if at >= upper - timedelta(seconds=threshold)}
    runs = {run.scheduled_time for run in decided.runs}
    assert on_time <= runs
    assert len(runs - on_time) <= max_catchup
    assert all(at >= upper - timedelta(seconds=grace) for at in runs - on_time)


@settings(deadline=None, max_examples=100)
@given(
    expression=st.sampled_from(_EXPRESSIONS),
    policy=st.sampled_from(list(MisfirePolicy)),
    start=st.integers(-60 * 24 * 60, 60 * 24 * 60),
    length=st.sampled_from((1, 30, 3000)),
)
def test_intervals_follow_each_other_without_a_gap(
    expression: str,
    policy: MisfirePolicy,
    start: int,
    length: int,
) -> None:
    """Each run begins where the one before ended, coalesced data included."""
    times = fire_times(expression, "Europe/Berlin")
    decided = plan(times, _at(start), _at(start + length), _rules(policy, grace=10**8))
    for earlier, later in zip(decided.runs, decided.runs[1:], strict=False):
        assert later.interval_start == earlier.interval_end
    for run in decided.runs:
        assert run.interval_start is not None
        assert run.interval_start < run.interval_end


@pytest.mark.parametrize(
    ("policy", "admitted"),
    [
        (OverlapPolicy.SKIP, [True, False, False]),
        (OverlapPolicy.ALLOW, [True, True, True]),
        (OverlapPolicy.QUEUE_ONE, [True, True, False]),
        (OverlapPolicy.QUEUE_ALL, [True, True, True]),
        (OverlapPolicy.REPLACE, [True, True, True]),
    ],
)
def test_overlap_admits_by_the_number_of_active_ones(
    policy: OverlapPolicy,
    admitted: list[bool],
) -> None:
    """With none, one and two unfinished executions of the job."""
    assert [admits(policy, active) for active in range(3)] == admitted


_nightly = fire_times("30 2 * * *", "Europe/Berlin", DstPolicy.SKIP)
_GAP_ENDS = datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_a_left_out_time_is_a_skip_of_its_own() -> None:
    """With policy skip, the night without 02:30 runs nothing and says why."""
    decided = plan(_nightly, _GAP_ENDS - timedelta(hours=2), _GAP_ENDS, _rules())
    detail = "clocks went forward over its time"
    assert decided == Plan(skips=(Span(SkipReason.GAP, _GAP_ENDS, _GAP_ENDS, 1, detail),))


def test_a_left_out_time_inside_a_span_is_not_told_twice() -> None:
    """Eleven missed nights are one span, whose count is of the ten that had a 02:30."""
    start, stop = _GAP_ENDS - timedelta(days=5), _GAP_ENDS + timedelta(days=5)
    decided = plan(_nightly, start, stop, _rules(MisfirePolicy.NONE))
    assert [(span.reason, span.count) for span in decided.skips] == [(SkipReason.MISFIRED, 10)]
