"""Settles what lost launches, dead workers and canceled runs left behind (rule 11).

Runs in a sensor and inside the long-lived dispatcher, in as many processes as you
like: every action is one UPDATE that repeats what was read.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

from jobu_core.crash_points import reach
from jobu_core.dispatcher.cron.dispatch import dispatch_orphans
from jobu_core.dispatcher.verdicts import Action, Verdict, judge
from jobu_core.errors import TargetUnavailable
from jobu_core.execution.committed import Committed, nothing_committed
from jobu_core.execution.retry import Backoff, after_lost_launch
from jobu_core.models import Status
from jobu_core.runs import RunState, RunView
from jobu_core.store import reconciliation
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection, Engine

    from jobu_core.clock import Clock
    from jobu_core.config import Settings
    from jobu_core.dispatcher.catalog import HandlerCatalog
    from jobu_core.runs import RunGateway
    from jobu_core.store.reconciliation import LaunchedRow

_log: Final = structlog.get_logger(__name__)
_LOST: Final = ("WorkerLost", "the worker that executed this attempt has died")
_UNCOUNTED_PAUSE_SECONDS: Final = 10.0
"""Before a launch that the carrier gave up is tried again; an outage is not hammered."""
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
    committed: Committed = nothing_committed
    """Says what an execution has committed; asked before a lost last attempt is FAILED."""
    backoff: Backoff = field(default_factory=lambda: Backoff(random.SystemRandom()))
    _seen: dict[int, tuple[datetime | None, float]] = field(default_factory=dict)
    _looked_at: float = float("-inf")
    _unknown: dict[str, float] = field(default_factory=dict)
    _retiring: dict[int, tuple[UUID, RunView, str]] = field(default_factory=dict)
    """Row → its token, and its run that ends if the write of the row took effect."""

    def tick(self) -> ReconcileTick:
        """Look once at every launched row and act; raises Outage when it cannot see.

        Nothing is concluded from a failed look: it starts every observation of a
        heartbeat anew, so that an outage never makes living rows look dead.
        """
        try:
            return self._look()
        except Exception:
            self._seen.clear()
            raise

    def _look(self) -> ReconcileTick:
        actions: Counter[str] = Counter()
        asked_at = self.clock.monotonic()
        with transaction(self.engine) as connection:
            rows = reconciliation.launched_rows(
                connection,
                lease_seconds=self.settings.worker.lease_seconds,
            )
        judged = self._with_staleness(rows, asked_at)
        self._retire_what_was_left(rows)
        views = self._views(rows)
        reach("reconcile.rows_read")
        for row, stale in judged:
            verdict = judge(
                row,
                views.get(row.id),
                launch_grace_seconds=self.settings.dispatcher.launch.launch_grace_seconds,
                stale=stale,
            )
            if verdict.action is not Action.LEAVE and self._act(row, verdict, views.get(row.id)):
                actions[verdict.action] += 1
        waiting = self._settle_waiting(actions)
        return ReconcileTick(actions, _sentence(actions, len(rows), waiting))

    def _views(self, rows: Sequence[LaunchedRow]) -> dict[int, RunView]:
        """Return each row's run: the one that claimed or stamped it, else its token's."""
        stamped = self.runs.states({row.run_id for row in rows if row.run_id is not None})
        launched = self.runs.runs_of({row.token for row in rows if row.run_id not in stamped})
        views: dict[int, RunView] = {}
        for row in rows:
            if row.run_id is not None and row.run_id in stamped:
                views[row.id] = RunView(row.run_id, stamped[row.run_id])
            elif row.token in launched:
                views[row.id] = launched[row.token]
        return views

    def _with_staleness(
        self,
        rows: Sequence[LaunchedRow],
        asked_at: float,
    ) -> list[tuple[LaunchedRow, bool]]:
        """Say of each row whether its heartbeat stood still for a lease, by our own clock.

        From the answer of the first look to the question of this one: neither a slow
        answer nor what follows it in a look makes a heartbeat older.
        """
        now, lease = self.clock.monotonic(), self.settings.worker.lease_seconds
        if asked_at - self._looked_at > lease:
            self._seen.clear()
        self._looked_at = now
        seen: dict[int, tuple[datetime | None, float]] = {}
        for row in rows:
            before = self._seen.get(row.id)
            same = before is not None and before[0] == row.heartbeat_at
            seen[row.id] = before if before is not None and same else (row.heartbeat_at, now)
        self._seen = seen
        return [(row, asked_at - seen[row.id][1] >= lease) for row in rows]

    def _act(self, row: LaunchedRow, verdict: Verdict, run: RunView | None) -> bool:
        """Write the row, then end its run.

        In this order a death in between is harmless: the run's token is void, so
        that it can only be superseded. The other way round, the canceled run would
        look like a person's cancel to the next look.
        """
        try:
            found = self._committed_by(row, verdict)
        except TargetUnavailable as outage:
            _log.warning("not decided yet", execution_id=row.id, reason=str(outage))
            return False
        if verdict.retire_run and run is not None:
            self._retiring[row.id] = (row.token, run, f"jobu: {verdict.why}")
        with transaction(self.engine) as connection:
            if found is not None:
                written = reconciliation.end_row(
                    connection,
                    row,
                    Status.SUCCESS,
                    reason="already_committed",
                    result=found,
                )
            else:
                written = self._write(connection, row, verdict)
            if not written:
                self._retiring.pop(row.id, None)
                return False
            reach("reconcile.row_written")
        reach("reconcile.row_committed")
        _log.warning(
            "reconciled",
            execution_id=row.id,
            action=verdict.action.value,
            why=verdict.why,
        )
        if row.id in self._retiring:
            self._retire(row.id)
            reach("reconcile.run_retired")
        return True

    def _retire_what_was_left(self, rows: Sequence[LaunchedRow]) -> None:
        """End runs whose rows were settled by a write that got no answer."""
        unsettled = {(row.id, row.token) for row in rows}
        for row_id, (token, _, _) in list(self._retiring.items()):
            if (row_id, token) in unsettled:
                del self._retiring[row_id]
            else:
                self._retire(row_id)

    def _committed_by(self, row: LaunchedRow, verdict: Verdict) -> Mapping[str, Any] | None:
        """Return what a lost last attempt has committed: then the row is a SUCCESS."""
        last = row.attempt >= row.max_attempts and not row.cancel_requested
        if verdict.action is not Action.WORKER_LOST or not last:
            return None
        return self.committed(row.id)

    def _retire(self, row_id: int) -> None:
        _, run, message = self._retiring[row_id]
        if run.state is RunState.NOT_STARTED:
            self.runs.report_canceled(run.run_id, message)
        else:
            self.runs.report_failed(run.run_id, message)
        del self._retiring[row_id]

    def _write(self, connection: Connection, row: LaunchedRow, verdict: Verdict) -> bool:
        match verdict.action:
            case Action.RELAUNCH | Action.RELAUNCH_LOST | Action.RELAUNCH_UNCOUNTED:
                return self._relaunch(connection, row, verdict)
            case Action.CANCEL:
                return reconciliation.end_row(connection, row, Status.CANCELED, reason="canceled")
            case Action.REQUEST_CANCEL:
                return reconciliation.request_cancel(connection, row, reason=verdict.why)
            case Action.WORKER_LOST:
                return self._end_attempt(connection, row, Status.FAILED, "worker_lost", _LOST)
            case Action.TIMEOUT:
                return self._end_attempt(connection, row, Status.TIMEOUT, "timeout", _TIMEOUT)
        return False

    def _relaunch(self, connection: Connection, row: LaunchedRow, verdict: Verdict) -> bool:
        if row.run_has_begun:
            return reconciliation.return_row(
                connection,
                row,
                after_seconds=0,
                reason="sibling_ended",
                counted=False,
            )
        launches = row.launch_count + 1
        most = self.settings.dispatcher.launch.max_launches
        if verdict.action is Action.RELAUNCH and launches >= most:
            error = ("LaunchFailed", f"{launches} launches in a row never began: {verdict.why}")
            return reconciliation.end_row(
                connection,
                row,
                Status.FAILED,
                reason="launch_failed",
                error=error,
            )
        counted = verdict.action is not Action.RELAUNCH_UNCOUNTED
        return reconciliation.return_row(
            connection,
            row,
            after_seconds=after_lost_launch(launches) if counted else _UNCOUNTED_PAUSE_SECONDS,
            reason="launch_lost",
            counted=counted,
        )

    def _end_attempt(
        self,
        connection: Connection,
        row: LaunchedRow,
        final: Status,
        reason: str,
        error: tuple[str, str],
    ) -> bool:
        if row.attempt >= row.max_attempts and not row.cancel_requested:
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

    def _settle_waiting(self, actions: Counter[str]) -> set[str]:
        """End rows and occurrences of handlers that are gone; return those still in grace."""
        with transaction(self.engine) as connection:
            unknown = reconciliation.waiting_handlers(connection) - set(self.catalog.names)
            gone = self._gone_for_good(unknown)
            actions["handler_unknown"] += reconciliation.fail_unknown_handlers(connection, gone)
            reach("reconcile.unknown_failed")
        reach("reconcile.unknown_committed")
        orphans = dispatch_orphans(self.engine, self.catalog, self.settings.dispatcher)
        actions["orphan_skips"] += orphans.skipped
        return unknown - set(gone)

    def _gone_for_good(self, unknown: set[str]) -> list[str]:
        now = self.clock.monotonic()
        self._unknown = {name: self._unknown.get(name, now) for name in unknown}
        grace = self.settings.dispatcher.handler_unknown_grace_seconds
        return [name for name, since in self._unknown.items() if now - since >= grace]


def _sentence(actions: Counter[str], launched: int, waiting: set[str]) -> str:
    done = ", ".join(f"{name} {count}" for name, count in sorted(actions.items()) if count)
    said = f"{launched} launched, {done or 'all in order'}"
    if not waiting:
        return said
    return f"{said}; rows wait for handlers that are not registered: {', '.join(sorted(waiting))}"
