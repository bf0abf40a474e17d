"""Lint warns of what is allowed and may not be meant, and of nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import TZPATH, reset_tzpath

import pytest
from hypothesis import assume, given, settings

from jobu_core.dispatcher.cron import zone_names
from jobu_core.dispatcher.cron.clock_changes import clock_changes
from jobu_core.dispatcher.cron.fire_times import fire_times
from jobu_core.dispatcher.cron.lint import LOOK_AHEAD, warnings_of
from jobu_core.dispatcher.cron.zone_names import new_name_of
from jobu_core.errors import InvalidCron
from jobu_core.models import DstPolicy
from tests.cron_oracle import instant_of, read_clock, wall_clock
from tests.cron_strategies import ZONES, Drawn, expressions, zones

_NOW = datetime(2026, 3, 2, tzinfo=UTC)


def _warnings(
    expression: str,
    zone: str = "UTC",
    policy: DstPolicy = DstPolicy.STANDARD,
) -> dict[str, str]:
    times = fire_times(expression, zone, policy)
    return {each.code: each.message for each in warnings_of(expression, times, _NOW)}


@pytest.mark.parametrize(
    ("expression", "code", "text"),
    [
        ("0 0 13 * 5", "either_day_field", "days '13' and also on weekdays '5'"),
        ("0 0 1,15 * 1", "either_day_field", "either is enough"),
        ("*/7 * * * *", "uneven_step", "the last distance is 4, not 7"),
        ("0 */5 * * *", "uneven_step", "the last distance is 4, not 5"),
        ("0 0 */2 * *", "uneven_step", "day of month '*/2'"),
        ("0 0 1 */5 *", "uneven_step", "the last distance is 2, not 5"),
        ("*/90 * * * *", "step_beyond_range", "no more than 60 values"),
        ("0 */24 * * *", "step_beyond_range", "the first hour only"),
        ("5/20 * * * *", "open_step", "read as '5-59/20'"),
        ("0 0 1 2/3 *", "open_step", "read as '2-12/3'"),
        ("* 2 * * *", "every_minute_of_an_hour", "once is '0 2'"),
        ("* 9-17 * * *", "every_minute_of_an_hour", "60 minutes"),
        ("0 22-2 * * 5", "hours_over_midnight", "hours 0-2 are the first of a matching day"),
        ("0 0 31 * *", "month_without_day", "February, April, June, September, November"),
        ("0 0 30 * *", "month_without_day", "not run in February: "),
        ("0 0 29 2 *", "leap_years_only", "leap years only"),
        ("0 0 29 * *", "leap_years_only", "leap years only"),
    ],
)
def test_each_trap_has_its_warning(expression: str, code: str, text: str) -> None:
    """One warning, and the sentence says what really happens."""
    found = _warnings(expression)
    assert list(found) == [code]
    assert text in found[code]


@pytest.mark.parametrize(
    "expression",
    [
        "0 9 * * *",
        "0 9 * * 1-5",
        "*/15 * * * *",
        "* * * * *",
        "* */2 * * *",
        "0 22-2 * * *",
        "0 0 L * *",
        "0 0 28 * *",
        "0 0 31 1,3 *",
        "0 0 1,15 * ?",
        "0 0 ? * 1#2",
        "0-30/5 * * * *",
        "0 */6 * * *",
        "@daily",
        "@Monthly",
        "0 9 * jan mon",
    ],
)
def test_what_is_plain_is_left_alone(expression: str) -> None:
    """A lint that warns of everything is read by nobody."""
    assert _warnings(expression) == {}


def test_times_at_clock_changes_are_told_once_each() -> None:
    """The next gap and the next fold that meet the expression, with what the policy does."""
    found = _warnings("30 2 * * *", "Europe/Berlin")
    assert list(found) == ["time_in_gap", "time_in_fold"]
    assert "on 2026-03-29 the times from 02:00 to 03:00 do not come" in found["time_in_gap"]
    assert "fire once, at 03:00" in found["time_in_gap"]
    assert "on 2026-10-25 the times from 02:00 to 03:00 come twice" in found["time_in_fold"]
    skip = _warnings("30 2 * * *", "Europe/Berlin", DstPolicy.SKIP)
    assert "are skipped (gap)" in skip["time_in_gap"]
    both = _warnings("30 2 * * *", "Europe/Berlin", DstPolicy.BOTH)
    assert "fire in both passes" in both["time_in_fold"]


@pytest.mark.parametrize(
    ("expression", "touched"),
    [("0 2 * * *", True), ("59 2 * * *", True), ("59 1 * * *", False), ("0 3 * * *", False)],
)
def test_a_gap_begins_with_its_first_minute_and_ends_before_its_end(
    expression: str,
    *,
    touched: bool,
) -> None:
    """02:00 does not come, 03:00 does; the same holds for what comes twice."""
    codes = ["time_in_gap", "time_in_fold"] if touched else []
    assert list(_warnings(expression, "Europe/Berlin")) == codes


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("30 4 * * *", "Europe/Berlin"),
        ("*/15 * * * *", "Europe/Berlin"),
        ("30 2 1 * *", "Europe/Berlin"),
        ("30 2 * * *", "Asia/Seoul"),
    ],
)
def test_no_clock_change_is_told_that_touches_nothing(expression: str, zone: str) -> None:
    """Another hour, an interval, other days, a zone without changes."""
    assert _warnings(expression, zone) == {}


@pytest.mark.parametrize(
    ("zone", "code", "text"),
    [
        ("US/Eastern", "old_zone_name", "it is America/New_York today"),
        ("Europe/Kiev", "old_zone_name", "it is Europe/Kyiv today"),
        ("Asia/Calcutta", "old_zone_name", "it is Asia/Kolkata today"),
        ("Etc/GMT+5", "inverted_sign", "Etc/GMT+5 is UTC-5"),
        ("Etc/GMT-14", "inverted_sign", "Etc/GMT-14 is UTC+14"),
    ],
)
def test_zone_names_that_mislead_are_told(zone: str, code: str, text: str) -> None:
    """A name that may vanish, and one that reads as its opposite."""
    found = _warnings("0 12 * * *", zone)
    assert list(found) == [code]
    assert text in found[code]


@pytest.mark.parametrize("zone", [*ZONES, "Europe/Bratislava", "Etc/GMT+0", "GMT", "Etc/UTC"])
def test_names_of_places_and_of_utc_are_current(zone: str) -> None:
    """A place that shares its rules with another keeps its name."""
    assert new_name_of(zone) is None
    assert "inverted_sign" not in _warnings("0 12 * * *", zone)


def test_a_machine_without_the_lists_still_knows_old_names() -> None:
    """Where the system has no zone files, the package's are read."""
    zone_names._renamed.cache_clear()
    try:
        reset_tzpath(to=())
        assert new_name_of("Europe/Kiev") == "Europe/Kyiv"
    finally:
        reset_tzpath(to=TZPATH)
        zone_names._renamed.cache_clear()


@settings(deadline=None, max_examples=40)
@given(expressions(), zones())
def test_clock_changes_are_those_of_the_wall_clock(drawn: Drawn, zone: object) -> None:
    """Every change of a year, none invented, and the clock's face before and after."""
    key = str(zone)
    try:
        times = fire_times(drawn.text, key)
    except InvalidCron as error:
        assume("never comes" not in str(error))
        raise
    clock = wall_clock(read_clock(times.zone, _NOW, _NOW + LOOK_AHEAD))
    seen = [at for at in map(instant_of, clock.changes) if _NOW < at <= _NOW + LOOK_AHEAD]
    changes = clock_changes(times, _NOW, _NOW + LOOK_AHEAD)
    assert [change.at for change in changes] == seen
    for change in changes:
        assert change.at.astimezone(times.zone).replace(tzinfo=None, fold=0) == change.wall_after
        assert change.is_gap is (change.wall_before < change.wall_after)
        assert bool(change.touched) is bool(change.effect)


@settings(deadline=None, max_examples=100)
@given(expressions(), zones())
def test_any_expression_can_be_linted(drawn: Drawn, zone: object) -> None:
    """Whatever may be saved gets sentences with codes, each code once per place."""
    try:
        times = fire_times(drawn.text, str(zone))
    except InvalidCron as error:
        assume("never comes" not in str(error))
        raise
    for warning in warnings_of(drawn.text, times, _NOW):
        assert warning.code.islower()
        assert warning.message
