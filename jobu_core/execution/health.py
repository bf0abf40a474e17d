"""Is a started run still carried by a living worker? Answered for Dagster's run monitor.

Rows decide their own fate through heartbeats (the reconciler); this only keeps a
run from staying STARTED for ever, which would leak its queue slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from jobu_core.models import TERMINAL, Status
from jobu_core.store.engine import transaction
from jobu_core.store.health import rows_of_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from jobu_core.store.health import RowOfRun

NO_ROW_GRACE_SECONDS: Final = 300.0
"""How long a started run may be without a row of its own (it is just beginning)."""


class RunHealth(StrEnum):
    """What can be said of a started run."""

    ALIVE = "alive"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """A verdict and one sentence for the run's log."""

    verdict: RunHealth
    message: str
    is_rowless: bool = False
    """Whether no execution belongs to the run."""


def run_health(
    engine: Engine,
    run_id: str,
    *,
    lease_seconds: float,
    rowless_seconds: float,
) -> HealthReport:
    """Judge a run in state STARTED by its rows and their workers.

    ``rowless_seconds``: how long the caller has seen it without any row, by its own
    monotonic clock; the start that Dagster notes is by some other host's. A RUNNING
    row keeps its run alive whatever its heartbeat: the reconciler alone declares
    workers lost. Raises StoreUnavailable.
    """
    with transaction(engine) as connection:
        rows = rows_of_run(connection, run_id, lease_seconds=lease_seconds)
    return judge(rows, rowless_seconds=rowless_seconds)


def judge(rows: Sequence[RowOfRun], *, rowless_seconds: float) -> HealthReport:
    """Apply the rule to rows that were read."""
    if not rows:
        if rowless_seconds <= NO_ROW_GRACE_SECONDS:
            return HealthReport(RunHealth.ALIVE, "no execution claimed yet", is_rowless=True)
        message = "no execution was ever claimed by this run"
        return HealthReport(RunHealth.LOST, message, is_rowless=True)
    running = [row.execution_id for row in rows if row.status is Status.RUNNING]
    if running:
        return HealthReport(RunHealth.ALIVE, f"execution {running[0]} is RUNNING")
    if any(row.worker_alive for row in rows):
        return HealthReport(RunHealth.ALIVE, "its worker is alive")
    ended = all(row.status in TERMINAL for row in rows)
    state = "ended" if ended else "moved on"
    return HealthReport(
        RunHealth.LOST, f"its worker is gone; execution {rows[0].execution_id} has {state}"
    )
