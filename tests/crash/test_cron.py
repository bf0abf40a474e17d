"""A cron tick that dies between two writes: each occurrence is decided once, by the next tick."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from jobu_core.dispatcher.cron.edit import add_job
from jobu_core.dispatcher.cron.manual import run_now
from jobu_core.store.engine import transaction
from tests.crash.dispatching import START, DispatchCase, Dispatcher, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

JOBS: Mapping[str, Mapping[str, Any]] = {
    "often": {"overlap_policy": "allow", "misfire_policy": "all"},
    "single": {"overlap_policy": "skip", "misfire_policy": "all"},
    "latest": {"misfire_policy": "latest"},
    "newest": {"overlap_policy": "replace"},
    "broken": {"overlap_policy": "allow", "misfire_policy": "all"},
    "odd": {},
    "quiet": {"cron_expression": "0 12 * * *"},
    "orphan": {},
}
"""Hourly jobs, and one that is not due; three hours pass."""

DUE = {**dict.fromkeys(JOBS, 3), "quiet": 0, "odd": 1}
"""How many occurrences the ledger must hold; of an invalid job none can be counted but one."""

BEHIND_JOBUS_BACK: Mapping[str, str] = {
    "broken": "UPDATE cron_jobs SET handler_params = '{\"n\": \"x\"}' WHERE name = 'broken'",
    "odd": "UPDATE cron_jobs SET cron_expression = 'never' WHERE name = 'odd'",
    "orphan": "UPDATE cron_jobs SET handler_name = 'gone' WHERE name = 'orphan'",
}
DECIDED = ("cron_jobs", "job_executions")


@dataclass(frozen=True)
class CronCase(DispatchCase):
    """A death in a tick over these jobs, in this order."""

    jobs: tuple[str, ...] = ("often",)
    step: Callable[[Dispatcher], object] = Dispatcher.cron


CASES = (
    CronCase("cron.idle_advanced", rules=(2,), jobs=("quiet",)),
    CronCase("cron.idle_committed", rules=(2, 6), jobs=("quiet", "often"), leaves=("cron_jobs",)),
    CronCase("cron.job_locked", rules=(2,)),
    CronCase("cron.executions_inserted", rules=(2, 3)),
    CronCase("cron.executions_inserted", rules=(2, 4), jobs=("single",)),
    CronCase("cron.failures_written", rules=(2, 5), jobs=("broken",)),
    CronCase("cron.older_asked", rules=(4,), jobs=("newest",)),
    CronCase("cron.skips_recorded", rules=(2, 3), jobs=("latest",)),
    CronCase("cron.skips_recorded", rules=(2, 4), jobs=("single",)),
    CronCase("cron.job_decided", rules=(2, 6)),
    CronCase("cron.job_decided", rules=(2, 6), visit=2, jobs=("often", "latest"), leaves=DECIDED),
    CronCase("cron.job_committed", rules=(2, 6), jobs=("often", "latest"), leaves=DECIDED),
    CronCase("cron.invalid_noted", rules=(2, 5), jobs=("odd",)),
    CronCase("cron.orphans_skipped", rules=(2, 5), jobs=("orphan",), step=Dispatcher.reconcile),
)


def add(site: Site, name: str) -> int:
    """Save a job; what jobu would refuse is then written behind its back."""
    values = {
        "name": name,
        "handler_name": "echo",
        "handler_params": {"n": 1},
        "cron_expression": "0 * * * *",
        "misfire_grace_seconds": 86400,
        **JOBS[name],
    }
    with site.process() as process:
        made = add_job(
            process.engine, process.registry, process.settings.dispatcher, values, who="tester"
        )
        if name in BEHIND_JOBUS_BACK:
            with transaction(process.engine) as connection:
                connection.execute(sa.text(BEHIND_JOBUS_BACK[name].replace(":", r"\:")))
    return made.id


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.point}-{'-'.join(case.jobs)}")
def test_each_occurrence_is_decided_once(site: Site, case: CronCase) -> None:
    """Three hours pass, a tick dies, the next one decides what it had not committed."""
    ids = {add(site, name): name for name in case.jobs}
    replace(site, now=START + timedelta(hours=1, seconds=30)).do(Dispatcher.cron)
    late = replace(site, now=START + timedelta(hours=3, seconds=30))
    if case.step is Dispatcher.reconcile:  # a handler that left may come back for five minutes
        late = replace(late, now=late.now + timedelta(seconds=301))
    with late.after_death(case, case.step) as restarted:
        restarted.run_to_rest()
        restarted.audit(occurrences={job_id: DUE[name] for job_id, name in ids.items()})


def run_by_hand(process: Dispatcher) -> None:
    """Do what ``jobu cron run`` does."""
    run_now(process.engine, process.registry, "often", who="tester")


BY_HAND = (
    DispatchCase("cron.manual_inserted", rules=(16,)),
    DispatchCase("cron.manual_audited", rules=(16,)),
)


@pytest.mark.parametrize("case", BY_HAND, ids=lambda case: case.point)
def test_a_run_by_hand_that_died_can_be_asked_for_again(site: Site, case: DispatchCase) -> None:
    """Row and audit are one transaction: nothing is left, so repeating it makes one run."""
    job_id = add(site, "often")
    with site.after_death(case, run_by_hand) as restarted:
        run_by_hand(restarted)
        restarted.run_to_rest()
        restarted.audit(occurrences={job_id: 0})
    with psycopg.connect(site.url) as connection:
        rows = connection.execute("SELECT trigger, status FROM job_executions").fetchall()
        assert rows == [("manual", "SUCCESS")]
        (audited,) = connection.execute(
            "SELECT count(*) FROM audit_log WHERE what = 'cron.run'"
        ).fetchall()
        assert audited == (1,)
