"""Saving, editing and running jobs: checked, audited, and never firing the past."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from jobu_core.dispatcher.cron.edit import delete_job, edit_job, set_enabled
from jobu_core.dispatcher.cron.manual import run_now
from jobu_core.errors import (
    Conflict,
    InvalidCron,
    InvalidParams,
    NotFound,
    UnknownHandler,
)
from jobu_core.models import CronJob, ParamSource, Status, Trigger
from tests.fix_cron import Cron, FakeCatalog

if TYPE_CHECKING:
    from tests.fix_store_time import StoreTime


def _edit(cron: Cron, reference: str = "job", **changes: object) -> CronJob:
    return edit_job(cron.engine, cron.catalog, cron.settings, reference, changes, who="tester")


def _enable(cron: Cron, *, enabled: bool) -> CronJob:
    return set_enabled(
        cron.engine, cron.catalog, cron.settings, "job", enabled=enabled, who="tester"
    )


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"cron_expression": "0 0 31 2 *"}, InvalidCron, "never comes"),
        ({"cron_expression": "nonsense"}, InvalidCron, "1 fields"),
        ({"timezone": "Europe/Berln"}, InvalidCron, "did you mean 'Europe/Berlin'"),
        ({"dst_policy": "never"}, InvalidCron, "dst_policy: "),
        ({"overlap_policy": "sometimes"}, InvalidCron, "overlap_policy: "),
        ({"misfire_policy": "newest"}, InvalidCron, "misfire_policy: "),
        ({"handler_name": "nobody"}, UnknownHandler, "nobody"),
        ({"handler_params": {"x": "{when}"}}, InvalidParams, "no placeholder"),
        ({"handler_params": {"x": "\0"}}, InvalidParams, "NUL"),
        ({"handler_params": {"x": float("nan")}}, InvalidParams, "not JSON"),
        ({"max_retry": -1}, InvalidCron, "max_retry: "),
        ({"timeout_seconds": 0}, InvalidCron, "timeout_seconds: "),
        ({"timeout_seconds": 2**31}, InvalidCron, "timeout_seconds: "),
        ({"name": "12"}, InvalidCron, "name: must be"),
        ({"name": " x"}, InvalidCron, "name: must be"),
        ({"description": "a\0"}, InvalidCron, "description: must not hold NUL"),
        ({"timezon": "UTC"}, InvalidCron, "did you mean 'timezone'"),
    ],
)
def test_what_cannot_run_is_refused_when_saved(
    cron: Cron,
    values: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    """The refusal names what is wrong, and nothing is stored."""
    with pytest.raises(error, match=text):
        cron.add(**values)
    assert cron.query("SELECT count(*) FROM cron_jobs") == [(0,)]
    assert cron.query("SELECT count(*) FROM audit_log") == [(0,)]


def test_params_are_checked_as_they_would_be_dispatched(cron: Cron) -> None:
    """The handler sees the rendered params of the next occurrence."""
    params = {"day": "{scheduled_time:%Y-%m-%d}", "from": ["{interval_start:%d}"], "j": "{{}}"}
    cron.add("0 9 * * *", handler_params=params)
    assert cron.catalog.validated == [{"day": "2026-03-02", "from": ["01"], "j": "{}"}]
    assert cron.job().handler_params == params


def test_two_jobs_cannot_share_a_name(cron: Cron) -> None:
    """The second is a conflict, when added and when renamed."""
    cron.add()
    with pytest.raises(Conflict, match="exists already"):
        cron.add()
    cron.add(name="second")
    with pytest.raises(Conflict, match="exists already"):
        _edit(cron, "second", name="job")


def test_a_job_is_found_by_name_or_id(cron: Cron) -> None:
    """Digits are an id, all else a name; neither is guessed."""
    job = cron.add()
    assert cron.job(str(job.id)) == cron.job("job") == job
    for unknown in ("nobody", "999", "9" * 30, "x" * 5000):
        with pytest.raises(NotFound):
            cron.job(unknown)


def test_an_edit_raises_the_revision_once(cron: Cron, store_time: StoreTime) -> None:
    """A change counts up; saving what is already there does not."""
    before = cron.add()
    store_time.forward(seconds=10)
    edited = _edit(cron, description="new", max_retry=1)
    assert (edited.revision, edited.description, edited.max_retry) == (2, "new", 1)
    assert edited.updated_at == store_time.now
    assert edited.dispatched_until == before.dispatched_until
    assert _edit(cron, description="new") == edited


@pytest.mark.parametrize(
    "changes",
    [{"cron_expression": "*/5 * * * *"}, {"timezone": "Asia/Kathmandu"}],
)
def test_an_edited_schedule_does_not_fire_the_past(
    cron: Cron,
    store_time: StoreTime,
    changes: dict[str, str],
) -> None:
    """What was due before the edit is one skip; the watermark is at the edit."""
    cron.add("*/10 * * * *")
    now = store_time.at("2026-03-02T00:35:00")
    edited = _edit(cron, **changes)
    assert edited.dispatched_until == now
    assert cron.skips() == [("misfired", "03-02 00:10", 3)]
    cron.tick()
    assert cron.times() == []


def test_enabling_again_does_not_fire_the_disabled_stretch(
    cron: Cron,
    store_time: StoreTime,
) -> None:
    """A year off is one row with its span and count."""
    cron.add()
    assert _enable(cron, enabled=False).is_enabled is False
    store_time.forward(days=365)
    cron.tick()
    assert cron.executions() == []
    _enable(cron, enabled=True)
    cron.tick()
    assert cron.executions() == []
    assert cron.skips() == [("disabled", "03-02 00:01", 365 * 1440)]
    ((until,),) = cron.query("SELECT until FROM dispatch_skips")
    assert until == store_time.now
    store_time.forward(minutes=1)
    assert len(cron.tick().created) == 1


def test_an_edit_never_lowers_the_watermark(cron: Cron, store_time: StoreTime) -> None:
    """With a clock set back it stays where it was."""
    cron.add()
    high = store_time.at("2026-03-02T05:00:00")
    cron.tick()
    store_time.at("2026-03-02T01:00:00")
    assert _edit(cron, cron_expression="*/2 * * * *").dispatched_until == high


def test_disabling_always_works_enabling_is_checked(cron: Cron) -> None:
    """A job that cannot run any more can be switched off, not on."""
    cron.add()
    gone = Cron(cron.engine, FakeCatalog(names=()))
    cron.write("UPDATE cron_jobs SET cron_expression = 'broken'")
    assert _enable(gone, enabled=False).is_enabled is False
    with pytest.raises(InvalidCron):
        _enable(cron, enabled=True)
    _edit(cron, cron_expression="0 9 * * *")
    with pytest.raises(UnknownHandler):
        _enable(gone, enabled=True)


def test_every_change_is_audited_with_before_and_after(cron: Cron) -> None:
    """Who, what and the row before and after it."""
    job = cron.add()
    _edit(cron, description="new")
    delete_job(cron.engine, "job", who="tester")
    rows = cron.query(
        "SELECT who, what, subject, before->>'description', after->>'description'"
        "  FROM audit_log ORDER BY id",
    )
    subject = f"cron_jobs/{job.id}"
    assert rows == [
        ("tester", "cron.add", subject, None, ""),
        ("tester", "cron.edit", subject, "", "new"),
        ("tester", "cron.delete", subject, "new", None),
    ]


def test_deleting_a_job_keeps_its_executions(cron: Cron, store_time: StoreTime) -> None:
    """They lose the job, not their history."""
    cron.add()
    store_time.forward(minutes=1)
    cron.tick()
    delete_job(cron.engine, "job", who="tester")
    (row,) = cron.executions()
    assert row.job_id is None
    cron.add()
    assert len(cron.executions()) == 1


def test_running_by_hand_makes_a_manual_execution(cron: Cron, store_time: StoreTime) -> None:
    """Also of a disabled job; rendered for now, with the job's limits, unkeyed."""
    job = cron.add("0 9 * * *", handler_params={"d": "{interval_end:%H:%M}"}, is_enabled=False)
    store_time.at("2026-03-02T10:30:00")
    first = run_now(cron.engine, cron.catalog, "job", who="tester")
    second = run_now(cron.engine, cron.catalog, str(job.id), who="tester")
    rows = cron.executions()
    assert [row.id for row in rows] == [first, second]
    row = rows[0]
    assert (row.trigger, row.param_source, row.status) == (
        Trigger.MANUAL,
        ParamSource.CRON,
        Status.PENDING,
    )
    assert row.params == {"d": "10:30"}
    assert row.dedupe_key is None
    assert row.serial_key == f"cron:{job.id}"
    assert row.interval_start == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert row.max_attempts == job.max_retry + 1
    assert cron.query("SELECT what FROM audit_log ORDER BY id")[1:] == [("cron.run",)] * 2
    assert cron.ledger_count() == 0


def test_running_by_hand_refuses_bad_params(cron: Cron) -> None:
    """A person is told at once; no row is made."""
    cron.add()
    cron.catalog.refuse = lambda _params: "x: missing"
    with pytest.raises(InvalidParams, match="x: missing"):
        run_now(cron.engine, cron.catalog, "job", who="tester")
    assert cron.executions() == []


def test_running_by_hand_refuses_a_job_of_another_handler(cron: Cron) -> None:
    """A Dagster job runs one handler; a cron job of another is a conflict."""
    cron.add()
    with pytest.raises(Conflict, match="runs handler echo, not other"):
        run_now(cron.engine, cron.catalog, "job", who="tester", handler_name="other")
    run_now(cron.engine, cron.catalog, "job", who="tester", handler_name="echo")
    assert len(cron.executions()) == 1
