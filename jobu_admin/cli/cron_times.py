"""``jobu cron next``, ``explain`` and ``lint``: when something fires, and what may surprise."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import typer

from jobu_admin.cli.cron_options import (  # noqa: TC001 - typer reads annotations at run time
    Count,
    Dst,
    Expression,
    Job,
    MaybeJob,
    Timezone,
)
from jobu_admin.cli.output import JsonFlag, print_json, print_record, print_rows
from jobu_admin.cli.session import open_store
from jobu_core.dispatcher.cron.clock_changes import clock_changes
from jobu_core.dispatcher.cron.definition import check_spec, saved_spec
from jobu_core.dispatcher.cron.expression import fields_of
from jobu_core.dispatcher.cron.fire_times import dst_policy_of, validate
from jobu_core.dispatcher.cron.lint import LOOK_AHEAD, warnings_of
from jobu_core.dispatcher.cron.occurrence import usable_times
from jobu_core.errors import InvalidInput
from jobu_core.store import cron_jobs as store
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from datetime import datetime

    from jobu_core.dispatcher.cron.fire_times import FireTimes
    from jobu_core.dispatcher.cron.lint import CronWarning
    from jobu_core.models import CronJob
    from jobu_core.services.runtime import Runtime

_FINDINGS: Final = ("job", "severity", "code", "message")
_CHANGES: Final = ("at", "clock", "times", "effect")


@dataclass(frozen=True, slots=True)
class _Subject:
    """An expression to look at: of a saved job, or as typed."""

    job: str | None
    expression: str
    times: FireTimes
    now: datetime


def next_(job: Job, *, count: Count = 5, as_json: JsonFlag = False) -> None:
    """Print the next fire times, in the job's zone and in UTC."""
    with open_store() as runtime, transaction(runtime.engine) as connection:
        found = store.find_job(connection, job)
        now = store.read_now(connection)
    print_rows(_next(usable_times(found), now, count), ("local", "utc"), as_json=as_json)
    if not found.is_enabled:
        typer.echo(f"{found.name} is disabled: none of these will run", err=True)


def explain(
    job: MaybeJob = None,
    *,
    cron: Expression = None,
    timezone: Timezone = None,
    dst: Dst = None,
    count: Count = 5,
    as_json: JsonFlag = False,
) -> None:
    """Tell when a saved job or an expression fires, what clock changes do to it, and warnings."""
    _one_of(job, cron, timezone, dst)
    with open_store() as runtime:
        subject = _subject(runtime, job, cron, timezone, dst)
    times = subject.times
    record = {
        "job": subject.job,
        "expression": subject.expression,
        "fields": " ".join(fields_of(subject.expression)),
        "timezone": times.zone.key,
        "dst_policy": times.dst_policy.value,
        "follows_real_time": times.calendar.follows_real_time,
    }
    lists: dict[str, list[dict[str, Any]]] = {
        "next": _next(times, subject.now, count),
        "clock_changes": _changes(times, subject.now),
        "warnings": [asdict(each) for each in _warnings(subject)],
    }
    if as_json:
        print_json({**record, **lists})
        return
    print_record(record, as_json=False)
    for (title, rows), columns in zip(
        lists.items(),
        (("local", "utc"), _CHANGES, ("code", "message")),
        strict=True,
    ):
        typer.echo(f"\n{title.replace('_', ' ')}:")
        print_rows(rows, columns, as_json=False, empty="none")


def lint(
    job: MaybeJob = None,
    *,
    cron: Expression = None,
    timezone: Timezone = None,
    dst: Dst = None,
    as_json: JsonFlag = False,
) -> None:
    """Check one job, an expression, or every saved job; exit code 1 for what cannot run."""
    if cron is not None or job is not None or timezone or dst:
        _one_of(job, cron, timezone, dst)
    with open_store() as runtime:
        if cron is not None:
            findings = _findings_of_text(runtime, cron, timezone, dst)
        else:
            findings = _findings_of_jobs(runtime, job)
    print_rows(findings, _FINDINGS, as_json=as_json, empty="nothing to say")
    if any(finding["severity"] == "error" for finding in findings):
        raise typer.Exit(1)


def _one_of(job: str | None, cron: str | None, timezone: str | None, dst: str | None) -> None:
    if (job is None) == (cron is None):
        raise typer.BadParameter("give the NAME of a saved job, or --cron with an expression")
    if job is not None and (timezone or dst):
        raise typer.BadParameter("--timezone and --dst go with --cron; a saved job has its own")


def _subject(
    runtime: Runtime,
    job: str | None,
    cron: str | None,
    timezone: str | None,
    dst: str | None,
) -> _Subject:
    with transaction(runtime.engine) as connection:
        now = store.read_now(connection)
        found = None if job is None else store.find_job(connection, job)
    if found is not None:
        return _Subject(found.name, found.cron_expression, usable_times(found), now)
    times = validate(
        cron or "",
        timezone or "UTC",
        dst_policy_of(dst or "standard"),
        min_interval_seconds=runtime.settings.dispatcher.min_cron_interval_seconds,
    )
    return _Subject(None, cron or "", times, now)


def _findings_of_text(
    runtime: Runtime,
    cron: str,
    timezone: str | None,
    dst: str | None,
) -> list[dict[str, Any]]:
    try:
        subject = _subject(runtime, None, cron, timezone, dst)
    except InvalidInput as error:
        return [_finding(None, "error", error.code, str(error))]
    return [_finding(None, "warning", each.code, each.message) for each in _warnings(subject)]


def _findings_of_jobs(runtime: Runtime, job: str | None) -> list[dict[str, Any]]:
    with transaction(runtime.engine) as connection:
        now = store.read_now(connection)
        jobs = store.list_jobs(connection) if job is None else [store.find_job(connection, job)]
    return [finding for saved in jobs for finding in _findings_of_job(runtime, saved, now)]


def _findings_of_job(runtime: Runtime, job: CronJob, now: datetime) -> list[dict[str, Any]]:
    """Return why a job could not be saved as it is, or else what may surprise in it."""
    try:
        times = check_spec(saved_spec(job), runtime.registry, runtime.settings.dispatcher, now)
    except InvalidInput as error:
        return [_finding(job.name, "error", error.code, str(error))]
    subject = _Subject(job.name, job.cron_expression, times, now)
    return [_finding(job.name, "warning", each.code, each.message) for each in _warnings(subject)]


def _warnings(subject: _Subject) -> list[CronWarning]:
    return warnings_of(subject.expression, subject.times, subject.now)


def _finding(job: str | None, severity: str, code: str, message: str) -> dict[str, Any]:
    return {"job": job, "severity": severity, "code": code, "message": message}


def _next(times: FireTimes, now: datetime, count: int) -> list[dict[str, Any]]:
    return [
        {"local": at.astimezone(times.zone).isoformat(), "utc": at}
        for at in islice(times.after(now), count)
    ]


def _changes(times: FireTimes, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "at": change.at,
            "clock": f"{change.wall_before:%Y-%m-%d %H:%M} -> {change.wall_after:%Y-%m-%d %H:%M}",
            "times": change.touched,
            "effect": change.effect or None,
        }
        for change in clock_changes(times, now, now + LOOK_AHEAD)
    ]
