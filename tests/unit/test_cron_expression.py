"""Cron expressions: what is read, what is refused, and which wall-clock times follow."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

import pytest
from croniter import croniter
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jobu_core.dispatcher.cron.expression import Calendar, parse
from jobu_core.errors import InvalidCron
from tests.cron_strategies import Drawn, expressions

_STARTS = st.datetimes(datetime(2000, 1, 1), datetime(2080, 1, 1))  # noqa: DTZ001 - wall clock


def _writes_out_a_whole_field_beside_a_star(drawn: Drawn) -> bool:
    day, weekday = drawn.day, drawn.weekday
    return ("*" in day.text and len(weekday.values) == 7) or (
        "*" in weekday.text and len(day.values) == 31
    )


def _parse(text: str) -> Calendar:
    try:
        return parse(text)
    except InvalidCron as error:
        assume("never comes" not in str(error))
        raise


@settings(deadline=None, max_examples=150)
@given(expressions(), _STARTS)
def test_times_agree_with_croniter(drawn: Drawn, start: datetime) -> None:
    """Counting days by sets gives what croniter finds by searching, both ways.

    But for one trait: beside ``*/2`` croniter reads a written-out whole week as ``*``.
    """
    assume(not _writes_out_a_whole_field_beside_a_star(drawn))
    calendar = _parse(drawn.text)
    whole = start.replace(second=0, microsecond=0)
    ahead = croniter(drawn.text, whole, ret_type=datetime)
    back = croniter(drawn.text, whole, ret_type=datetime)
    assert list(islice(calendar.after(whole), 5)) == [ahead.get_next() for _ in range(5)]
    assert list(islice(calendar.before(whole), 5)) == [back.get_prev() for _ in range(5)]


@settings(deadline=None, max_examples=100)
@given(expressions(), _STARTS, st.integers(0, 200 * 24 * 60))
def test_count_is_the_number_of_times(drawn: Drawn, start: datetime, minutes: int) -> None:
    """Of (start, stop], with any start and stop."""
    calendar = _parse(drawn.text)
    times = list(islice(calendar.after(start), min(minutes, 300)))
    stop = times[-1] if times else start
    assert calendar.count(start, stop) == len(times)


def _first(expression: str, count: int = 3) -> list[str]:
    start = datetime(2026, 1, 1)  # noqa: DTZ001 - wall clock
    return [at.strftime("%y-%m-%d %H:%M") for at in islice(parse(expression).after(start), count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@hourly", ["26-01-01 01:00", "26-01-01 02:00", "26-01-01 03:00"]),
        ("@Daily", ["26-01-02 00:00", "26-01-03 00:00", "26-01-04 00:00"]),
        ("@weekly", ["26-01-04 00:00", "26-01-11 00:00", "26-01-18 00:00"]),
        ("@monthly", ["26-02-01 00:00", "26-03-01 00:00", "26-04-01 00:00"]),
        ("@yearly", ["27-01-01 00:00", "28-01-01 00:00", "29-01-01 00:00"]),
        ("0 9 * * MON-FRI", ["26-01-01 09:00", "26-01-02 09:00", "26-01-05 09:00"]),
        ("0 9 * JAN,dec 7", ["26-01-04 09:00", "26-01-11 09:00", "26-01-18 09:00"]),
        ("0 0 * * 5-7", ["26-01-02 00:00", "26-01-03 00:00", "26-01-04 00:00"]),
        ("0 0 * * sat-mon", ["26-01-03 00:00", "26-01-04 00:00", "26-01-05 00:00"]),
        ("0 0 L * *", ["26-01-31 00:00", "26-02-28 00:00", "26-03-31 00:00"]),
        ("0 0 15,L * ?", ["26-01-15 00:00", "26-01-31 00:00", "26-02-15 00:00"]),
        ("0 0 ? * 1#2", ["26-01-12 00:00", "26-02-09 00:00", "26-03-09 00:00"]),
        ("0 0 * * L5", ["26-01-30 00:00", "26-02-27 00:00", "26-03-27 00:00"]),
        ("0 0 29 2 *", ["28-02-29 00:00", "32-02-29 00:00", "36-02-29 00:00"]),
        ("\t5/20  0 * * * ", ["26-01-01 00:05", "26-01-01 00:25", "26-01-01 00:45"]),
    ],
)
def test_known_forms_mean_what_cron_users_expect(expression: str, expected: list[str]) -> None:
    """Aliases, names, Sunday as 7, wrapping ranges, last days, n-th weekdays."""
    assert _first(expression) == expected


def test_both_day_fields_set_means_either() -> None:
    """The 13th or any Friday, as in classic cron."""
    expected = ["26-01-02 00:00", "26-01-09 00:00", "26-01-13 00:00"]
    assert _first("0 0 13 * 5") == expected


def test_a_full_range_of_days_beside_a_weekday_still_means_either() -> None:
    """1-31 is set, though it names every day: the weekday does not narrow it."""
    assert _first("0 0 1-31 * 1") == ["26-01-02 00:00", "26-01-03 00:00", "26-01-04 00:00"]


def test_a_stepped_day_beside_a_weekday_means_either_too() -> None:
    """Set is whatever is not a bare star, as Dagster and croniter read it."""
    assert _first("0 0 */10 * 1") == ["26-01-05 00:00", "26-01-11 00:00", "26-01-12 00:00"]
    assert _first("0 0 */2 * 0-6") == ["26-01-02 00:00", "26-01-03 00:00", "26-01-04 00:00"]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "1 fields"),
        ("* * * *", "4 fields"),
        ("0 0 9 * * *", "6 fields; needed are five"),
        ("0 0 9 * * * 2026", "7 fields; needed are five"),
        ("@reboot", "known aliases"),
        ("h * * * *", "random and hashed"),
        ("R(0-10) * * * *", "random and hashed"),
        ("h/5 * * * *", "random and hashed"),
        ("60 * * * *", "out of range"),
        ("0 24 * * *", "out of range"),
        ("0 0 0 * *", "out of range"),
        ("0 0 * 13 *", "out of range"),
        ("0 0 * * 8", "out of range"),
        ("5-5 * * * *", "is one value; write '5'"),
        ("0 0 * jan-jan *", "is one value; write 'jan'"),
        ("50-10/5 * * * *", "wraps around"),
        ("*/0 * * * *", "step '0'"),
        ("*,5 * * * *", "is not a number"),
        ("-1 * * * *", "is not a number"),
        ("1.5 * * * *", "is not a number"),
        ("\u0661 * * * *", "is not a number"),
        ("? * * * *", "is not a number"),
        ("l * * * *", "is not a number"),
        ("0 0 15w * *", "is not a number"),
        ("0 0 * * 5#6", "is not a number"),
        ("0 0 * * 1,5#2", "cannot be mixed"),
        ("0 0 * * xyz", "cron expression"),
        ("0 0 * mon *", "cron expression"),
        ("0 0 31 2 *", "never comes"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
        ("0\u00a00 * * *", "4 fields"),
        ("0 0 * * *\n", "is not a number"),
        ("*," * 200, "at most 255"),
    ],
)
def test_anything_else_is_refused_with_its_reason(expression: str, why: str) -> None:
    """Deny by default: also what croniter would accept and cron does not mean."""
    with pytest.raises(InvalidCron, match=why):
        parse(expression)


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="0123456789*/,-?#lLwhr @amonjfeb\n\t", max_size=40))
def test_no_text_ends_in_anything_but_a_refusal(text: str) -> None:
    """Whatever is typed is read or refused as InvalidCron."""
    try:
        calendar = parse(text)
    except InvalidCron:
        return
    assert next(calendar.after(datetime(2026, 1, 1)), None) is not None  # noqa: DTZ001 - wall clock


def test_every_minute_or_hour_follows_real_time() -> None:
    """A star in either field, or all its values, makes an interval of an expression."""
    for text in ("* * * * *", "*/5 2 * * *", "0 * * * *", "0 */2 * * *", "0 0-23 * * *"):
        assert parse(text).follows_real_time, text
    for text in ("0 2 * * *", "0,30 2 * * *", "0 0-22 * * *", "5/10 3 * * *"):
        assert not parse(text).follows_real_time, text
