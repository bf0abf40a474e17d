"""Fire times are what looking at the wall clock minute by minute would give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from jobu_core.dispatcher.cron.fire_times import FireTimes, fire_times, validate, zone_of
from jobu_core.errors import InvalidCron
from jobu_core.models import DstPolicy
from tests.cron_oracle import expected, minutes_of, read_clock, wall_clock
from tests.cron_strategies import Drawn, expressions, windows

_MINUTE = timedelta(minutes=1)


_POLICIES = st.sampled_from(list(DstPolicy))


def _times(drawn: Drawn, zone: ZoneInfo, policy: DstPolicy) -> FireTimes:
    try:
        return fire_times(drawn.text, zone.key, policy)
    except InvalidCron as error:
        assume("never comes" not in str(error))
        raise


@settings(deadline=None, max_examples=250)
@given(expressions(), windows(), _POLICIES)
def test_fire_times_are_those_of_the_wall_clock(
    drawn: Drawn,
    window: tuple[ZoneInfo, datetime, datetime],
    policy: DstPolicy,
) -> None:
    """Any expression, zone, policy: equal to deciding every minute by its wall clock."""
    zone, start, stop = window
    clock = wall_clock(read_clock(zone, start, stop))
    fired = _times(drawn, zone, policy).within(start, stop)
    assert minutes_of(fired) == expected(drawn, clock, policy, start, stop)


@settings(deadline=None, max_examples=120)
@given(expressions(), windows(), _POLICIES)
def test_looking_back_gives_the_same_times(
    drawn: Drawn,
    window: tuple[ZoneInfo, datetime, datetime],
    policy: DstPolicy,
) -> None:
    """before() is after() read from the other end."""
    zone, start, stop = window
    times = _times(drawn, zone, policy)
    ahead = [at for at in times.within(start, stop) if at < stop]
    assert list(takewhile(lambda at: at > start, times.before(stop)))[::-1] == ahead


@settings(deadline=None, max_examples=80)
@given(expressions(), windows(days=40), _POLICIES)
def test_counting_agrees_with_enumerating(
    drawn: Drawn,
    window: tuple[ZoneInfo, datetime, datetime],
    policy: DstPolicy,
) -> None:
    """count() is the number of times, clock changes included."""
    zone, start, stop = window
    times = _times(drawn, zone, policy)
    assert times.count(start, stop) == len(times.within(start, stop))


@settings(deadline=None, max_examples=80)
@given(expressions(), windows(), _POLICIES, st.integers(1, 72 * 60))
def test_times_do_not_depend_on_where_a_tick_cuts(
    drawn: Drawn,
    window: tuple[ZoneInfo, datetime, datetime],
    policy: DstPolicy,
    cut_minutes: int,
) -> None:
    """Two ticks side by side see each time exactly once, and each left-out one."""
    zone, start, stop = window
    times = _times(drawn, zone, policy)
    cut = start + timedelta(minutes=cut_minutes)
    for seen in (times.within, times.left_out):
        assert seen(start, cut) + seen(cut, stop) == seen(start, stop)


@settings(deadline=None, max_examples=120)
@given(expressions(), windows())
def test_policies_differ_only_where_clocks_change(
    drawn: Drawn,
    window: tuple[ZoneInfo, datetime, datetime],
) -> None:
    """What skip leaves out is what standard has more; both has more than standard in folds only."""
    zone, start, stop = window
    by_policy = {policy: _times(drawn, zone, policy) for policy in DstPolicy}
    standard, skip, both = (set(times.within(start, stop)) for times in by_policy.values())
    assert skip <= standard <= both
    assert by_policy[DstPolicy.SKIP].left_out(start, stop) == sorted(standard - skip)
    assert all(at.astimezone(zone).fold == 1 for at in both - standard)
    for policy in (DstPolicy.STANDARD, DstPolicy.BOTH):
        assert by_policy[policy].left_out(start, stop) == []


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _first(
    expression: str,
    zone: str,
    start: str,
    count: int,
    policy: DstPolicy = DstPolicy.STANDARD,
) -> list[str]:
    fires = fire_times(expression, zone, policy).after(_utc(start))
    return [at.strftime("%m-%d %H:%M") for at in islice(fires, count)]


def test_fixed_time_in_a_gap_is_shifted_to_its_end() -> None:
    """02:30 on the day Berlin skips it runs at 03:00 CEST, once."""
    wanted = ["03-28 01:30", "03-29 01:00", "03-30 00:30"]
    assert _first("30 2 * * *", "Europe/Berlin", "2026-03-28", 3) == wanted


def test_several_fixed_times_in_one_gap_run_once() -> None:
    """02:15, 02:45 and 03:00 all fall on the end of the gap: one occurrence."""
    wanted = ["03-29 01:00", "03-30 00:15"]
    start = "2026-03-28T12:00"
    assert _first("15,45 2 * * *", "Europe/Berlin", start, 2) == wanted
    assert _first("0 2,3 * * *", "Europe/Berlin", start, 2) == ["03-29 01:00", "03-30 00:00"]


def test_fixed_time_in_a_fold_runs_in_its_first_pass_only() -> None:
    """02:30 on the day Berlin has it twice runs in summer time."""
    wanted = ["10-25 00:30", "10-26 01:30"]
    assert _first("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == wanted


def test_skip_leaves_out_the_night_without_that_time() -> None:
    """02:30 on the day Berlin skips it does not run; in a fold it runs once, as ever."""
    start = "2026-03-28T12:00"
    assert _first("30 2 * * *", "Europe/Berlin", start, 1, DstPolicy.SKIP) == ["03-30 00:30"]
    assert _first("0 2,3 * * *", "Europe/Berlin", start, 1, DstPolicy.SKIP) == ["03-29 01:00"]
    wanted = ["10-25 00:30", "10-26 01:30"]
    start = "2026-10-24T12:00"
    assert _first("30 2 * * *", "Europe/Berlin", start, 2, DstPolicy.SKIP) == wanted


def test_a_time_that_comes_at_the_end_of_the_gap_anyway_is_not_left_out() -> None:
    """Of 02:00 and 03:00 the second runs at that instant: there is nothing to tell."""
    start, stop = _utc("2026-03-28"), _utc("2026-03-30")
    both_hours = fire_times("0 2,3 * * *", "Europe/Berlin", DstPolicy.SKIP)
    assert both_hours.left_out(start, stop) == []
    alone = fire_times("15,45 2 * * *", "Europe/Berlin", DstPolicy.SKIP)
    assert alone.left_out(start, stop) == [_utc("2026-03-29T01:00")]


def test_both_fires_in_each_pass_of_a_fold() -> None:
    """02:30 on the day Berlin has it twice runs twice; a gap is as under standard."""
    wanted = ["10-25 00:30", "10-25 01:30", "10-26 01:30"]
    start = "2026-10-24T12:00"
    assert _first("30 2 * * *", "Europe/Berlin", start, 3, DstPolicy.BOTH) == wanted
    start = "2026-03-28T12:00"
    assert _first("30 2 * * *", "Europe/Berlin", start, 1, DstPolicy.BOTH) == ["03-29 01:00"]


@pytest.mark.parametrize("policy", list(DstPolicy))
def test_no_policy_changes_an_interval_expression(policy: DstPolicy) -> None:
    """It follows real time: none in a gap, all through a fold."""
    spring, autumn = "2026-03-28T12:00", "2026-10-24T12:00"
    assert _first("*/30 2 * * *", "Europe/Berlin", spring, 1, policy) == ["03-30 00:00"]
    wanted = ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30"]
    assert _first("*/30 2 * * *", "Europe/Berlin", autumn, 4, policy) == wanted


def test_interval_expressions_follow_real_time_through_a_fold() -> None:
    """Every 20 minutes stays every 20 minutes when the hour is repeated."""
    fires = islice(fire_times("*/20 * * * *", "Europe/Berlin").after(_utc("2026-10-25")), 12)
    assert {later - earlier for earlier, later in pairwise(fires)} == {timedelta(minutes=20)}


def test_interval_expressions_fire_nothing_in_a_gap() -> None:
    """Minutes that never are on the clock do not fire."""
    assert _first("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 1) == ["03-30 00:00"]


def test_nine_in_toronto_is_nine_in_toronto_all_year() -> None:
    """The zone decides, not the offset that happened to hold."""
    times = fire_times("0 9 * * *", "America/Toronto")
    year = islice(times.after(_utc("2026-01-01")), 365)
    assert {at.astimezone(ZoneInfo("America/Toronto")).hour for at in year} == {9}


def test_leap_day_is_found_from_far_away() -> None:
    """29 February is looked for over the years without one, 2100 included."""
    fires = islice(fire_times("0 0 29 2 *", "UTC").after(_utc("2096-03-01")), 1)
    assert [at.year for at in fires] == [2104]


def test_the_day_that_samoa_left_out() -> None:
    """A job of 30 December 2011 runs when the day after it begins."""
    assert _first("0 9 30 12 *", "Pacific/Apia", "2011-12-01", 1) == ["12-30 10:00"]


def test_counting_ten_years_of_minutes_visits_none_of_them() -> None:
    """Five million occurrences are counted by arithmetic: each minute of UTC is one."""
    times = fire_times("* * * * *", "Europe/Berlin")
    start, stop = _utc("2020-01-01"), _utc("2030-01-01")
    assert times.count(start, stop) == (stop - start) // _MINUTE


def test_from_inside_a_fold_both_directions_see_every_time() -> None:
    """In Berlin 02:00-03:00 comes twice; a look from either pass misses nothing."""
    fixed = fire_times("10,50 2 * * *", "Europe/Berlin")
    second_pass = _utc("2026-10-25T01:30")
    assert next(fixed.before(second_pass)) == _utc("2026-10-25T00:50")
    assert fixed.count(second_pass, _utc("2026-10-25T12:00")) == 0
    every = fire_times("10,50 * * * *", "Europe/Berlin")
    first_pass = _utc("2026-10-25T00:30")
    assert [at.hour for at in islice(every.after(first_pass), 3)] == [0, 1, 1]
    assert [at.hour for at in islice(every.before(second_pass), 3)] == [1, 0, 0]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/berlin", "did you mean 'Europe/Berlin'"),
        ("Europe/Berln", "did you mean 'Europe/Berlin'"),
        ("Asia/Soul", "did you mean 'Asia/Seoul'"),
        ("../../etc/passwd", "is unknown"),
        ("Europe", "is unknown"),
        ("localtime", "is unknown"),
        ("a\0b", "is unknown"),
        ("", "is unknown"),
    ],
)
def test_unknown_zones_are_refused_with_the_nearest_name(name: str, hint: str) -> None:
    """A zone that is no zone is InvalidCron, never a file of this machine."""
    with pytest.raises(InvalidCron, match=hint):
        zone_of(name)


def test_minimum_interval_is_that_of_neighbouring_times() -> None:
    """Over midnight counts, but only where two such days are neighbours."""
    validate("0 0,12 * * *", "UTC", min_interval_seconds=43200)
    validate("0 0,23 1 * *", "UTC", min_interval_seconds=43200)
    with pytest.raises(InvalidCron, match="fires every 3600 s"):
        validate("0 0,23 * * *", "UTC", min_interval_seconds=43200)
    with pytest.raises(InvalidCron, match="min_cron_interval_seconds is 300"):
        validate("* * * * *", "UTC", min_interval_seconds=300)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(("0 0 29 2 *", "30 2 * * *", "*/5 * * * *")), windows())
@example("30 2 * * *", (ZoneInfo("Europe/Berlin"), _utc("2026-10-25T01:10"), _utc("2026-10-26")))
def test_previous_and_next_are_neighbours(
    expression: str,
    window: tuple[ZoneInfo, datetime, datetime],
) -> None:
    """The time before the next one is the last at or before the start."""
    zone, start, _ = window
    times = fire_times(expression, zone.key)
    following = times.next_after(start)
    assert following is not None
    previous = times.previous(following)
    assert previous is not None
    assert previous <= start < following
    assert times.next_after(previous) == following
