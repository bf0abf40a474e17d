"""The reconciler's table (rule 11): a launched row × its run → what happens next. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from jobu_core.models import Status
from jobu_core.runs import RunState

if TYPE_CHECKING:
    from jobu_core.runs import RunView
    from jobu_core.store.reconciliation import LaunchedRow


class Action(StrEnum):
    """What the reconciler does with a row."""

    LEAVE = "leave"
    RELAUNCH = "relaunch"
    """→ PENDING; a worker had the launch, so it counts toward max_launches."""
    RELAUNCH_UNCOUNTED = "relaunch_uncounted"
    """→ PENDING; no worker ever had the launch (slow queue, broker away)."""
    CANCEL = "cancel"
    REQUEST_CANCEL = "request_cancel"
    WORKER_LOST = "worker_lost"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action, why, and whether the run must be ended first so that it cannot start."""

    action: Action
    why: str
    retire_run: bool = False


_LEAVE: Final = Verdict(Action.LEAVE, "")


def judge(
    row: LaunchedRow,
    run: RunView | None,
    *,
    launch_grace_seconds: float,
    stale: bool,
) -> Verdict:
    """Return what happens to ``row`` whose run is ``run`` (None: there is none).

    ``stale``: heartbeat_at stayed the same through one lease of successful reads.
    """
    if row.status is Status.RUNNING:
        return _judge_running(row, run, stale=stale)
    return _judge_queued(row, run, launch_grace_seconds=launch_grace_seconds)


def _judge_running(row: LaunchedRow, run: RunView | None, *, stale: bool) -> Verdict:
    if stale:
        return Verdict(Action.WORKER_LOST, "no heartbeat for a whole lease", retire_run=True)
    if row.deadline_passed:
        return Verdict(Action.TIMEOUT, "deadline and lease have passed", retire_run=True)
    if run is not None and run.state is RunState.CANCELED and not row.cancel_requested:
        return Verdict(Action.REQUEST_CANCEL, "its run was canceled in Dagster")
    return _LEAVE


def _judge_queued(
    row: LaunchedRow,
    run: RunView | None,
    *,
    launch_grace_seconds: float,
) -> Verdict:
    overdue = row.queued_seconds > launch_grace_seconds
    stamped = row.worker_id is not None
    match None if run is None else run.state:
        case None:
            if overdue:
                return Verdict(Action.RELAUNCH_UNCOUNTED, "no run appeared")
        case RunState.NOT_STARTED:
            if overdue:
                why = "its run was never submitted"
                return Verdict(Action.RELAUNCH_UNCOUNTED, why, retire_run=True)
        case RunState.CANCELING | RunState.CANCELED:
            return Verdict(Action.CANCEL, "its run was canceled in Dagster")
        case RunState.SUCCESS | RunState.FAILURE:
            if stamped:
                return Verdict(Action.RELAUNCH, "its run ended without beginning it")
            return Verdict(Action.RELAUNCH_UNCOUNTED, "its run ended before a worker had it")
        case RunState.STARTED:
            if not stamped and overdue:
                return Verdict(Action.RELAUNCH_UNCOUNTED, "its run began elsewhere")
            if stamped and not row.worker_alive:
                return Verdict(Action.RELAUNCH, "its worker died", retire_run=True)
        case RunState.QUEUED | RunState.STARTING:
            if stamped and not row.worker_alive:
                return Verdict(Action.RELAUNCH, "its worker died", retire_run=True)
    return _LEAVE
