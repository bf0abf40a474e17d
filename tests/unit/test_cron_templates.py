"""Placeholders in params: four names, safe formats, everything else refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobu_core.dispatcher.cron.templates import Moment, check, render
from jobu_core.errors import InvalidParams

_SEOUL = Moment(
    cron_name="nightly",
    zone=ZoneInfo("Asia/Seoul"),
    scheduled_time=datetime(2026, 3, 1, 18, 30, tzinfo=UTC),
    interval_start=datetime(2026, 2, 28, 18, 30, tzinfo=UTC),
    interval_end=datetime(2026, 3, 1, 18, 30, tzinfo=UTC),
)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def _rendered(text: str) -> Any:  # noqa: ANN401 - whatever was put in
    return render({"x": text}, _SEOUL)["x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("/in/{scheduled_time:%Y%m%d}.csv", "/in/20260302.csv"),
        ("{interval_start:%Y-%m-%d %H:%M}", "2026-03-01 03:30"),
        ("{interval_end}", "2026-03-02T03:30:00+09:00"),
        ("{cron_name}-{scheduled_time:%j}", "nightly-061"),
        ("{scheduled_time:%H:%M:%S%%}", "03:30:00%"),
        ('{{"a": {{}}}}', '{"a": {}}'),
        ("{{scheduled_time}}", "{scheduled_time}"),
        ("{{{cron_name}}}", "{nightly}"),
    ],
)
def test_placeholders_are_filled_in_the_jobs_zone(text: str, expected: str) -> None:
    """Dates are those of the job's own wall clock; doubled braces are braces."""
    check({"x": text})
    assert _rendered(text) == expected


def test_values_at_any_depth_are_rendered_and_keys_are_not() -> None:
    """Lists and objects too; numbers, booleans and null stay what they are."""
    params = {"{cron_name}": [1, None, True, {"deep": ["{cron_name}"]}]}
    assert render(params, _SEOUL) == {"{cron_name}": [1, None, True, {"deep": ["nightly"]}]}
    assert params["{cron_name}"] == [1, None, True, {"deep": ["{cron_name}"]}]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{schedule_time}", "did you mean 'scheduled_time'"),
        ("{now}", "'now' is no placeholder"),
        ("{}", "is no placeholder"),
        ("{0}", "is no placeholder"),
        ("{ scheduled_time }", "is no placeholder"),
        ("{scheduled_time.__class__}", "is no placeholder"),
        ("{scheduled_time.year}", "is no placeholder"),
        ("{scheduled_time[0]}", "is no placeholder"),
        ("{scheduled_time!r}", "is no placeholder"),
        ("{cron_name.__init__.__globals__}", "is no placeholder"),
        ("{cron_name:>30}", "takes no format"),
        ("{scheduled_time:}", "no directive"),
        ("{scheduled_time:yyyy}", "no directive"),
        ("{scheduled_time:%s}", "%s"),
        ("{scheduled_time:%-d}", "%-"),
        ("{scheduled_time:%100000d}", "%1"),
        ("{scheduled_time:%}", "%"),
        ("{scheduled_time:{cron_name}}", "a single '{'"),
        ("{unclosed", "a single '{'"),
        ("closed}", "a single '}'"),
        ('{"a": 1}', "is no placeholder"),
    ],
)
def test_anything_else_is_refused_when_saved_and_when_rendered(text: str, why: str) -> None:
    """No way to an attribute, an index, a conversion, or a format of one machine only."""
    for use in (lambda: check({"x": [text]}), lambda: render({"x": [text]}, _SEOUL)):
        with pytest.raises(InvalidParams) as refused:
            use()
        assert why in str(refused.value)
        assert str(refused.value).startswith("params.x[0]: ")


def test_a_refusal_does_not_repeat_what_may_be_a_secret() -> None:
    """Only a word is shown; any other text in braces is not."""
    with pytest.raises(InvalidParams) as refused:
        check({"dsn": "{password=hunter2}"})
    assert "hunter2" not in str(refused.value)


def test_an_execution_without_interval_cannot_fill_one() -> None:
    """It fails with the name of what is missing."""
    first = Moment("n", ZoneInfo("UTC"), _SEOUL.scheduled_time, None, None)
    with pytest.raises(InvalidParams, match="has no interval_start"):
        render({"x": "{interval_start}"}, first)


@given(st.text())
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    """Doubling every brace protects any text."""
    assert _rendered(text.replace("{", "{{").replace("}", "}}")) == text


@given(st.dictionaries(st.text(), _JSON))
def test_check_and_render_agree(params: dict[str, Any]) -> None:
    """What can be saved can be rendered, and what cannot be rendered cannot be saved."""
    try:
        check(params)
    except InvalidParams:
        with pytest.raises(InvalidParams):
            render(params, _SEOUL)
    else:
        render(params, _SEOUL)


@given(st.text(alphabet="{}:%YmdHscron_amet!.[]0", max_size=30))
def test_any_text_is_rendered_or_refused(text: str) -> None:
    """Nothing but InvalidParams ever comes out."""
    try:
        assert isinstance(_rendered(text), str)
    except InvalidParams:
        return
