"""Dagster's runs and their events, which it keeps for ever, taken away when nobody needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dagster import DagsterRunStatus, RunsFilter

from jobu_core.crash_points import reach
from jobu_dagster.private import ROOT_RUN_ID_TAG
from jobu_dagster.runs import outages

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from dagster import DagsterInstance

_ENDED: Final = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)


def prune_runs(
    instance: DagsterInstance,
    *,
    cutoff: datetime,
    keep_materializations: int,
    in_use: Callable[[Collection[str]], Collection[str]],
    batch: int,
    dry_run: bool = False,
) -> int:
    """Delete runs that ended before ``cutoff``, with their events; return how many.

    Kept are: runs that ``in_use`` returns of those it is asked about (an unfinished
    execution names them), runs that hold one of the newest ``keep_materializations``
    of an asset, and runs of which a kept one is a re-execution. Raises
    StoreUnavailable. May die anywhere: events go before their run.
    """
    gone, after = 0, None
    with outages():
        newest = _holding_newest(instance, keep_materializations)
        while True:
            runs = _ended(instance, cutoff, after, batch)
            going = set(runs) - newest - set(in_use(runs))
            going -= _roots_of_others(instance, going)
            for run_id in (each for each in runs if each in going and not dry_run):
                instance.event_log_storage.delete_events(run_id)
                reach("prune.events_deleted")
                instance.delete_run(run_id)
                reach("prune.run_deleted")
            gone += len(going)
            if len(runs) < batch:
                return gone
            after = _cursor(runs, going, dry_run=dry_run) or after


def _ended(
    instance: DagsterInstance, cutoff: datetime, after: str | None, batch: int
) -> Sequence[str]:
    """Return the oldest runs after a run that have ended and changed no more since ``cutoff``."""
    wanted = RunsFilter(statuses=list(_ENDED), updated_before=cutoff)
    records = instance.get_run_records(wanted, limit=batch, cursor=after, ascending=True)
    return [record.dagster_run.run_id for record in records]


def _cursor(runs: Sequence[str], going: Collection[str], *, dry_run: bool) -> str | None:
    """Return the last run that is still there: a cursor is looked up by its row."""
    return next((each for each in reversed(runs) if dry_run or each not in going), None)


def _holding_newest(instance: DagsterInstance, count: int) -> set[str]:
    """Return the runs that hold one of the newest materializations of an asset."""
    return {
        record.run_id
        for key in instance.get_asset_keys()
        for record in instance.fetch_materializations(key, limit=count).records
    }


def _roots_of_others(instance: DagsterInstance, going: Collection[str]) -> set[str]:
    """Return those of the runs that were executed again by a run that stays."""
    if not going:
        return set()
    again = instance.get_runs(RunsFilter(tags={ROOT_RUN_ID_TAG: sorted(going)}))
    return {run.tags[ROOT_RUN_ID_TAG] for run in again if run.run_id not in going}
