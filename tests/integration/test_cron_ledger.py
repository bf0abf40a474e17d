"""Whatever people and ticks do, the ledger holds each due occurrence exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobu_core.dispatcher.cron.edit import edit_job, set_enabled
from jobu_core.dispatcher.cron.fire_times import fire_times
from jobu_core.errors import Outage
from jobu_core.models import DstPolicy, MisfirePolicy, OverlapPolicy
from jobu_core.store import cron_jobs as store
from tests.crash.audit import violations
from tests.fix_cron import Cron

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine

    from jobu_core.models import CronJob
    from tests.fix_store_time import StoreTime

_EXPRESSIONS = ("* * * * *", "*/7 * * * *", "30 2 * * *", "15,45 1-3 * * *", "0 */2 * * *")


@dataclass(frozen=True)
class Step:
    """One thing that happens: what, how long after the last (minutes), and with what."""

    kind: str
    minutes: float
    expression: str


_STEPS = st.builds(
    Step,
    kind=st.sampled_from(("tick", "tick", "tick", "die", "edit", "disable", "enable", "finish")),
    minutes=st.sampled_from((0.0, 0.2, 1.0, 1.5, 3.0, 20.0, 90.0, 1500.0)),
    expression=st.sampled_from(_EXPRESSIONS),
)


class _Death(Outage):
    """The process ends here."""


def _tick_that_dies(cron: Cron) -> None:
    def dies(*_: object) -> None:
        raise _Death

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "advance", dies)
        try:
            cron.tick()
        except _Death:
            return


def _happen(cron: Cron, step: Step) -> None:
    match step.kind:
        case "tick":
            cron.tick()
        case "die":
            _tick_that_dies(cron)
        case "finish":
            cron.finish_all()
        case "edit":
            change = {"cron_expression": step.expression}
            edit_job(cron.engine, cron.catalog, cron.settings, "job", change, who="t")
        case kind:
            enabled = kind == "enable"
            set_enabled(cron.engine, cron.catalog, cron.settings, "job", enabled=enabled, who="t")


def _due(job: CronJob, after: datetime, until: datetime) -> list[datetime]:
    times = fire_times(job.cron_expression, job.timezone, job.dst_policy)
    return list(takewhile(lambda at: at <= until, times.after(after)))


def _accounted(cron: Cron, due: list[datetime]) -> list[datetime]:
    """Return the occurrences that the ledger's rows stand for, spans written out."""
    listed: list[datetime] = []
    rows = "SELECT scheduled_time, until, count FROM dispatch_ledger WHERE outcome <> 'gap'"
    for at, until, count in cron.query(rows):
        span = [time for time in due if at <= time <= (until or at)]
        assert len(span) == count
        listed.extend(span)
    return sorted(listed)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(_STEPS, min_size=3, max_size=25),
    expression=st.sampled_from(_EXPRESSIONS),
    overlap=st.sampled_from(list(OverlapPolicy)),
    dst=st.sampled_from(list(DstPolicy)),
    misfire=st.sampled_from(list(MisfirePolicy)),
    grace=st.sampled_from((0, 600, 3600, 864000)),
)
def test_each_due_occurrence_is_in_the_ledger_exactly_once(
    *,
    engine: Engine,
    store_time: StoreTime,
    steps: list[Step],
    expression: str,
    overlap: OverlapPolicy,
    dst: DstPolicy,
    misfire: MisfirePolicy,
    grace: int,
) -> None:
    """Ticks, deaths, edits, pauses in any order: due = executions + skips, watermark rising."""
    store_time.at("2026-03-28T20:00:00")  # a clock change lies ahead
    cron = Cron(engine)
    cron.write("TRUNCATE cron_jobs, job_executions, dispatch_skips CASCADE")
    job = cron.add(
        expression,
        timezone="Europe/Berlin",
        overlap_policy=overlap,
        dst_policy=dst,
        misfire_policy=misfire,
        misfire_grace_seconds=grace,
    )
    due: list[datetime] = []
    for step in steps:
        store_time.forward(minutes=step.minutes)
        before = job
        _happen(cron, step)
        job = cron.job()
        assert job.dispatched_until >= before.dispatched_until
        due += _due(before, before.dispatched_until, job.dispatched_until)
    assert _accounted(cron, due) == due
    gaps = sum(reason == "gap" for reason, _, _ in cron.skips())
    assert gaps <= int(dst is DstPolicy.SKIP)
    assert cron.ledger_count() == len(due) + gaps
    with cron.engine.begin() as connection:
        assert violations(connection) == []
