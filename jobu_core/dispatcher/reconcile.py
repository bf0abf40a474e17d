"""Settles what lost launches, dead workers and canceled runs left behind (rule 11).

Runs in a sensor and inside the long-lived dispatcher, in as many processes as you
like: every action is one UPDATE that repeats what was read.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from jobu_core.dispatcher.cron.dispatch import dispatch_orphans
from jobu_core.dispatcher.verdicts import Action, Verdict, judge
from jobu_core.execution.retry import Backoff, after_lost_launch
from jobu_core.models import Status
from jobu_core.store import reconciliation
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Engine

    from jobu_core.clock import Clock
    from jobu_core.config import Settings
    from jobu_core.dispatcher.catalog import HandlerCatalog
    from jobu_core.runs import RunGateway, RunView
    from jobu_core.store.reconciliation import LaunchedRow

_log: Final = structlog.get_logger(__name__)
_LOST: Final = ("WorkerLost", "the worker that executed this attempt has died")
_TIMEOUT: Final = ("Timeout", "the attempt ran past its deadline and its worker did not end it")


@dataclass(frozen=True, slots=True)
class ReconcileTick:
    """What one look found and did."""

    actions: Counter[str]
    message: str


@dataclass(slots=True)
class Reconciler:
    """Remembers heartbeats between looks; ``tick`` is one look."""

    engine: Engine
    catalog: HandlerCatalog
    settings: Settings
    runs: RunGateway
    clock: Clock
    backoff: Backoff = field(default_factory=lambda: Backoff(random.SystemRandom()))
    _seen: dict[int, tuple[datetime | None, float]] = field(default_factory=dict)
    _unknown: dict[str, float] = field(default_factory=dict)

    def tick(self) -> ReconcileTick:
        """Look once at every launched row and act; raises Outage when it cannot see.

        Nothing is concluded from a failed read: the staleness of a heartbeat is
        measured on this process's own clock, over successful reads only.
        """
        actions: Counter[str] = Counter()
        with transaction(self.engine) as connection:
            rows = reconciliation.launched_rows(
                connection,
                lease_seconds=self.settings.worker.lease_seconds,
            )
        views = self.runs.runs_of({row.token for row in rows})
        for row, stale in self._with_staleness(rows):
            verdict = judge(
                row,
                views.get(row.token),
                launch_grace_seconds=self.settings.dispatcher.launch.launch_grace_seconds,
                stale=stale,
            )
            if verdict.action is not Action.LEAVE and self._act(row, verdict, views.get(row.token)):
                actions[verdict.action] += 1
        self._settle_waiting(actions)
        return ReconcileTick(actions, _sentence(actions, len(rows)))

    def _with_staleness(self, rows: Sequence[LaunchedRow]) -> list[tuple[LaunchedRow, bool]]:
        now = self.clock.monotonic()
        seen: dict[int, tuple[datetime | None, float]] = {}
        judged: list[tuple[LaunchedRow, bool]] = []
        for row in rows:
            before = self._seen.get(row.id)
            since = before[1] if before is not None and before[0] == row.heartbeat_at else now
            seen[row.id] = (row.heartbeat_at, since)
            judged.append((row, now - since >= self.settings.worker.lease_seconds))
        self._seen = seen
        return judged

    def _act(self, row: LaunchedRow, verdict: Verdict, run: RunView | None) -> bool:
        """Do it; a run that must not start any more is ended before its row moves on."""
        run_id = row.run_id or (run.run_id if run is not None else None)
        if verdict.retire_run and run_id is not None and row.status is Status.QUEUED:
            self.runs.report_canceled(run_id, f"jobu: {verdict.why}")
        with transaction(self.engine) as connection:
            acted = self._write(connection, row, verdict)
        if acted and verdict.retire_run and run_id is not None and row.status is Status.RUNNING:
            self.runs.report_failed(run_id, f"jobu: {verdict.why}")
        if acted:
            _log.warning(
                "reconciled",
                execution_id=row.id,
                action=verdict.action.value,
                why=verdict.why,
            )
        return acted

    def _write(self, connection: Connection, row: LaunchedRow, verdict: Verdict) -> bool:
        match verdict.action:
            case Action.RELAUNCH | Action.RELAUNCH_UNCOUNTED:
                counted = verdict.action is Action.RELAUNCH
                return reconciliation.return_row(
                    connection,
                    row,
                    after_seconds=after_lost_launch(row.launch_count + 1) if counted else 1.0,
                    reason="launch_lost",
                    counted=counted,
                )
            case Action.CANCEL:
                return reconciliation.end_row(connection, row, Status.CANCELED, reason="canceled")
            case Action.REQUEST_CANCEL:
                return reconciliation.request_cancel(connection, row, reason=verdict.why)
            case Action.WORKER_LOST:
                return self._end_attempt(connection, row, Status.FAILED, "worker_lost", _LOST)
            case Action.TIMEOUT:
                return self._end_attempt(connection, row, Status.TIMEOUT, "timeout", _TIMEOUT)
            case Action.LEAVE:
                return False

    def _end_attempt(
        self,
        connection: Connection,
        row: LaunchedRow,
        final: Status,
        reason: str,
        error: tuple[str, str],
    ) -> bool:
        if row.attempt >= row.max_attempts:
            return reconciliation.end_row(connection, row, final, reason=reason, error=error)
        wait = self.backoff.after_attempt(row.retry_backoff_seconds, row.attempt)
        return reconciliation.return_row(
            connection,
            row,
            after_seconds=wait,
            reason=reason,
            counted=False,
            error=error,
        )

    def _settle_waiting(self, actions: Counter[str]) -> None:
        """End rows that can never start: launched too often, or their handler is gone."""
        most = self.settings.dispatcher.launch.max_launches
        with transaction(self.engine) as connection:
            failed = reconciliation.fail_overlaunched(connection, max_launches=most)
            waiting = reconciliation.waiting_handlers(connection)
            gone = self._gone_for_good(waiting)
            actions["handler_unknown"] += reconciliation.fail_unknown_handlers(connection, gone)
        actions["launch_failed"] += len(failed)
        orphans = dispatch_orphans(self.engine, self.catalog, self.settings.dispatcher)
        actions["orphan_skips"] += orphans.skipped

    def _gone_for_good(self, waiting: set[str]) -> list[str]:
        now = self.clock.monotonic()
        unknown = waiting - set(self.catalog.names)
        self._unknown = {name: self._unknown.get(name, now) for name in unknown}
        grace = self.settings.dispatcher.handler_unknown_grace_seconds
        return [name for name, since in self._unknown.items() if now - since >= grace]


def _sentence(actions: Counter[str], launched: int) -> str:
    done = ", ".join(f"{name} {count}" for name, count in sorted(actions.items()) if count)
    return f"{launched} launched, {done}" if done else f"{launched} launched, all in order"
