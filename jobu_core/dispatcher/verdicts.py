"""The reconciler's table (rule 11): a launched row and its run → what happens next. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from jobu_core.models import Status
from jobu_core.runs import RunState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobu_core.runs import RunView
    from jobu_core.store.reconciliation import LaunchedRow


class Action(StrEnum):
    """What the reconciler does with a row."""

    LEAVE = "leave"
    RELAUNCH = "relaunch"
    """→ PENDING with backoff; a worker had the launch, so ``max_launches`` may end it."""
    RELAUNCH_LOST = "relaunch_lost"
    """→ PENDING with backoff, as often as it takes: the launch itself never arrived."""
    RELAUNCH_UNCOUNTED = "relaunch_uncounted"
    """→ PENDING, launch_count as it was: the carrier gave up before a worker had it."""
    CANCEL = "cancel"
    REQUEST_CANCEL = "request_cancel"
    WORKER_LOST = "worker_lost"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action, why, and whether its run is over for good and must be ended too."""

    action: Action
    why: str
    retire_run: bool = False


LEAVE: Final = Verdict(Action.LEAVE, "")

_CANCELED: Final = Verdict(Action.CANCEL, "its run was canceled in Dagster")
_WORKER_DIED: Final = Verdict(Action.RELAUNCH, "its worker died", retire_run=True)

QUEUED_UNSTAMPED: Final[Mapping[RunState | None, Verdict]] = {
    None: LEAVE,
    RunState.NOT_STARTED: LEAVE,
    RunState.QUEUED: LEAVE,
    RunState.STARTING: LEAVE,
    RunState.STRANDED: LEAVE,
    RunState.STARTED: LEAVE,
    RunState.CANCELING: _CANCELED,
    RunState.CANCELED: _CANCELED,
    RunState.SUCCESS: Verdict(Action.RELAUNCH_UNCOUNTED, "its run ended before a worker had it"),
    RunState.FAILURE: Verdict(Action.RELAUNCH_UNCOUNTED, "its run failed before a worker had it"),
}
"""No worker has taken the launch, and its grace has not passed."""

QUEUED_OVERDUE: Final[Mapping[RunState | None, Verdict]] = {
    **QUEUED_UNSTAMPED,
    None: Verdict(Action.RELAUNCH_LOST, "no run appeared"),
    RunState.NOT_STARTED: Verdict(
        Action.RELAUNCH_LOST,
        "its run was never submitted",
        retire_run=True,
    ),
    RunState.STRANDED: Verdict(
        Action.RELAUNCH_UNCOUNTED,
        "the workers' queue has lost it",
        retire_run=True,
    ),
    RunState.STARTED: Verdict(Action.RELAUNCH_LOST, "its run began outside jobu's workers"),
}
"""No worker has taken the launch within ``launch_grace_seconds``."""

QUEUED_STAMPED: Final[Mapping[RunState | None, Verdict]] = {
    **QUEUED_UNSTAMPED,
    RunState.SUCCESS: Verdict(Action.RELAUNCH, "its run ended without beginning it"),
    RunState.FAILURE: Verdict(Action.RELAUNCH, "its run failed without beginning it"),
}
"""A worker has taken the launch and keeps it alive."""

QUEUED_STALE: Final[Mapping[RunState | None, Verdict]] = {
    **QUEUED_STAMPED,
    None: _WORKER_DIED,
    RunState.NOT_STARTED: _WORKER_DIED,
    RunState.QUEUED: _WORKER_DIED,
    RunState.STARTING: _WORKER_DIED,
    RunState.STRANDED: _WORKER_DIED,
    RunState.STARTED: _WORKER_DIED,
}
"""A worker had taken the launch, and nobody has kept it alive for a whole lease."""


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
    state = None if run is None else run.state
    if row.status is Status.RUNNING:
        return _judge_running(row, state, stale=stale)
    if row.worker_id is not None:
        return (QUEUED_STALE if stale else QUEUED_STAMPED)[state]
    overdue = row.queued_seconds > launch_grace_seconds
    return (QUEUED_OVERDUE if overdue else QUEUED_UNSTAMPED)[state]


def _judge_running(row: LaunchedRow, state: RunState | None, *, stale: bool) -> Verdict:
    """Judge by heartbeat and deadline; of the run only a person's cancel counts."""
    if stale:
        return Verdict(Action.WORKER_LOST, "no heartbeat for a whole lease", retire_run=True)
    if row.deadline_passed:
        return Verdict(Action.TIMEOUT, "deadline and lease have passed", retire_run=True)
    if state is RunState.CANCELED and not row.cancel_requested:
        return Verdict(Action.REQUEST_CANCEL, "its run was canceled in Dagster")
    return LEAVE
