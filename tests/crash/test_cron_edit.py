"""A change to a cron job that dies between two writes: nothing of it stands, repeating it does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobu_core.dispatcher.cron import edit
from tests.crash.dispatching import START, DispatchCase, Dispatcher, Site
from tests.crash.test_cron import add

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_TEN_MINUTES = "*/10 * * * *"


def save(process: Dispatcher) -> None:
    """Do what ``jobu cron add`` does."""
    values: dict[str, Any] = {
        "name": "new",
        "handler_name": "echo",
        "handler_params": {"n": 1},
        "cron_expression": "0 * * * *",
    }
    edit.add_job(
        process.engine, process.registry, process.settings.dispatcher, values, who="tester"
    )


def change(process: Dispatcher) -> None:
    """Do what ``jobu cron edit --expression`` does."""
    edit.edit_job(
        process.engine,
        process.registry,
        process.settings.dispatcher,
        "often",
        {"cron_expression": EVERY_TEN_MINUTES},
        who="tester",
    )


def delete(process: Dispatcher) -> None:
    """Do what ``jobu cron delete`` does."""
    edit.delete_job(process.engine, "often", who="tester")


@dataclass(frozen=True)
class EditCase(DispatchCase):
    """A death in a person's change, and how it is audited once it was repeated."""

    step: Callable[[Dispatcher], None] = change
    audited: str = "cron.edit"


CASES = (
    EditCase("cron_edit.row_inserted", rules=(2,), step=save, audited="cron.add"),
    EditCase("cron_edit.undecided_skipped", rules=(2, 3)),
    EditCase("cron_edit.watermark_raised", rules=(2, 3)),
    EditCase("cron_edit.row_saved", rules=(2, 3)),
    EditCase("cron_edit.audited", rules=(2, 3)),
    EditCase("cron_edit.row_deleted", rules=(2,), step=delete, audited="cron.delete"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.point)
def test_a_change_stands_whole_or_not_at_all(site: Site, case: EditCase) -> None:
    """Three hours were due under the old expression; the new one fires nothing before now."""
    job_id = add(site, "often")
    late = replace(site, now=START + timedelta(hours=3, minutes=5))
    with late.after_death(case, case.step) as restarted:
        case.step(restarted)
        restarted.run_to_rest()
        deleted = case.step is delete
        restarted.audit(occurrences={} if deleted else {job_id: 3})
    with psycopg.connect(site.url) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM audit_log WHERE what = %s", (case.audited,)
        ).fetchone()
        # ``add`` above is one of the two for a case that adds
        assert rows == (2 if case.step is save else 1,)
        ran = connection.execute("SELECT count(*) FROM job_executions").fetchone()
        assert ran == (3 if case.step is save else 0,)
