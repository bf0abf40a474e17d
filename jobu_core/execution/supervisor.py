"""One thread per worker, in its main process: heartbeats, deadlines, cancels, lost children.

Never forks and never runs user code. Whatever escapes its loop must end the main
process (the caller's wiring does so): a worker without a supervisor would keep
rows alive that nobody watches.
"""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

from jobu_core.clock import Clock, SystemClock
from jobu_core.crash_points import reach
from jobu_core.errors import FenceLost, Outage, TargetUnavailable
from jobu_core.execution.committed import Committed, nothing_committed
from jobu_core.execution.retry import Backoff
from jobu_core.models import Status
from jobu_core.store import supervision, transitions, workers
from jobu_core.store.engine import transaction
from jobu_core.store.transitions import Problem

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Engine

    from jobu_core.config import WorkerSettings
    from jobu_core.runs import RunGateway
    from jobu_core.store.supervision import HeldRow

_log: Final = structlog.get_logger(__name__)
_FORGET_AFTER_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class ActiveTask:
    """A run in the hands of a child; ``pid`` is exact until the child is dead."""

    run_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """How this worker appears in ``workers``."""

    id: str
    host: str
    main_pid: int
    slots: int
    code_version: str


@dataclass(slots=True)
class Supervisor:
    """Watches the children of one worker; ``step`` is one pass, safe to repeat."""

    engine: Engine
    settings: WorkerSettings
    identity: WorkerIdentity
    tasks: Callable[[], Sequence[ActiveTask]]
    runs: RunGateway
    clock: Clock = field(default_factory=SystemClock)
    kill: Callable[[int, int], Any] = os.kill
    backoff: Backoff = field(default_factory=lambda: Backoff(random.SystemRandom()))
    committed: Committed = nothing_committed
    """Says what an execution has committed; asked before a lost last attempt is FAILED."""
    draining: bool = False
    _next_beat: float = 0.0
    _told_draining: bool = False
    _gone: dict[str, float] = field(default_factory=dict)
    _signalled: dict[tuple[int, int], float] = field(default_factory=dict)
    _to_report: list[tuple[str, bool, str]] = field(default_factory=list)
    _rowless: dict[str, float | None] = field(default_factory=dict)
    """Run that has begun a row → since when it holds none (None: it holds one)."""
    _doubted: dict[str, tuple[bool, str]] = field(default_factory=dict)
    """Run whose end was written without an answer → canceled or not, and why."""

    def run_forever(self, stop: threading.Event) -> None:
        """Step until ``stop``; outages are waited out, anything else is raised."""
        while not stop.wait(
            min(self.settings.cancel_poll_seconds, self.settings.heartbeat_seconds)
        ):
            try:
                self.step()
            except Outage as outage:
                _log.warning("supervisor waits", reason=str(outage))

    def step(self) -> None:
        """Heartbeat when due, then look at every row this worker holds.

        Raises Outage when the job store is unreachable; the next step goes on.
        """
        pids = {task.run_id: task.pid for task in self.tasks()}
        with transaction(self.engine) as connection:
            rows = supervision.held_rows(connection, self.identity.id)
        # A task that began between the two reads is in the second look only.
        pids |= {task.run_id: task.pid for task in self.tasks()}
        self._beat(rows, pids)
        now = self.clock.monotonic()  # one reading for all rows: a run may carry several
        for row in rows:
            pid = pids.get(row.run_id)
            if pid is None:
                self._settle_if_gone(row, now)
            elif row.status is Status.RUNNING:
                self._gone.pop(row.run_id, None)
                self._watch(row, pid)
        self._end_strays({row.run_id: row.status for row in rows}, pids)
        self._forget({(row.id, row.attempt) for row in rows}, {row.run_id for row in rows})
        self._report()

    def should_drain(self) -> bool:
        """Return whether launches are made for another code version than this one's."""
        with transaction(self.engine) as connection:
            wanted = workers.published_code_version(connection)
        return wanted is not None and wanted != self.identity.code_version

    def hand_back(self) -> int:
        """Planned shutdown: return rows to PENDING uncounted and end their children.

        The row is written first, so that the killed attempt cannot be mistaken for
        a lost worker. Returns how many attempts were handed back.
        """
        self.draining = True
        pids = {task.run_id: task.pid for task in self.tasks()}
        with transaction(self.engine) as connection:
            rows = supervision.held_rows(connection, self.identity.id)
            for row in rows:
                self._hand_back_row(connection, row)
                reach("hand_back.row_returned")
            workers.remove(connection, self.identity.id)
            reach("hand_back.worker_removed")
        reach("hand_back.committed")
        for row in rows:
            if row.run_id in pids:
                self._kill(pids[row.run_id], signal.SIGKILL)
                reach("hand_back.child_killed")
            self._to_report.append((row.run_id, False, "The worker was shut down."))
        self._report()
        return len(rows)

    def _hand_back_row(self, connection: Any, row: HeldRow) -> None:  # noqa: ANN401 - a connection
        if row.status is Status.QUEUED:
            supervision.return_unstarted(connection, [row.token], reason="worker_shutdown")
            return
        try:
            transitions.return_to_pending(
                connection,
                row.fence,
                after_seconds=0,
                reason="worker_shutdown",
                counted=False,
            )
        except FenceLost:
            return

    def _beat(self, rows: Sequence[HeldRow], pids: Mapping[str, int]) -> None:
        now = self.clock.monotonic()
        if now < self._next_beat and self._told_draining is self.draining:
            return
        with transaction(self.engine) as connection:
            transitions.heartbeat(
                connection,
                [(row.id, row.token) for row in rows if row.run_id in pids],
            )
            reach("heartbeat.rows_renewed")
            workers.beat(
                connection,
                worker_id=self.identity.id,
                host=self.identity.host,
                main_pid=self.identity.main_pid,
                slots=self.identity.slots,
                code_version=self.identity.code_version,
                draining=self.draining,
            )
            reach("heartbeat.worker_renewed")
            workers.forget_dead(connection, older_than_seconds=_FORGET_AFTER_SECONDS)
        reach("heartbeat.committed")
        self._next_beat = now + self.settings.heartbeat_seconds
        self._told_draining = self.draining

    def _watch(self, row: HeldRow, pid: int) -> None:
        if row.cancel_requested:
            self._cancel(row, pid)
        elif row.deadline_passed:
            self._end(row, pid, self._write_timeout, canceled=False, why="Its deadline passed.")

    def _cancel(self, row: HeldRow, pid: int) -> None:
        """First a hint and a grace, then the write, then the kill (rule 13).

        A run that carries more rows than this one goes on with them after the hint,
        and is not to be seen as canceling: its waiting rows would be canceled with it.
        """
        key = (row.id, row.attempt)
        now = self.clock.monotonic()
        if key not in self._signalled:
            if not row.siblings_wait:
                self.runs.report_canceling(row.run_id, row.cancel_reason or "cancel requested")
                reach("supervisor.run_canceling")
            if ActiveTask(row.run_id, pid) in self.tasks():  # not the child's next run
                self._kill(pid, signal.SIGINT)
            reach("supervisor.child_hinted")
            self._signalled[key] = now
        elif now >= self._signalled[key] + self.settings.cancel_grace_seconds:
            self._end(row, pid, self._write_canceled, canceled=True, why="Canceled on request.")

    def _end(
        self,
        row: HeldRow,
        pid: int,
        write: Callable[[HeldRow], None],
        *,
        canceled: bool,
        why: str,
    ) -> None:
        """Write the row's end, fenced, then kill; a lost fence means it ended by itself.

        A write without an answer leaves the run in doubt: ``_end_strays`` ends it
        if the row is gone at the next look.
        """
        self._doubted[row.run_id] = (canceled, why)
        try:
            write(row)
        except FenceLost:
            del self._doubted[row.run_id]
            return
        del self._doubted[row.run_id]
        reach("supervisor.end_written")
        self._kill(pid, signal.SIGKILL)
        reach("supervisor.child_killed")
        self._to_report.append((row.run_id, canceled, why))

    def _end_strays(self, held: Mapping[str, Status], pids: Mapping[str, int]) -> None:
        """Kill children that go on with rows which are theirs no more.

        The reconciler settled them, or a write of ours whose answer was lost. A run
        that has just ended its row by itself has a lease's time for its last words.
        """
        now = self.clock.monotonic()
        self._doubted = {run: end for run, end in self._doubted.items() if run not in held}
        begun = {run for run, status in held.items() if status is Status.RUNNING} | {*self._rowless}
        since_when = {run: since for run, since in self._rowless.items() if since is not None}
        self._rowless = {
            run: None if run in held else since_when.get(run, now) for run in begun & {*pids}
        }
        for run, since in list(self._rowless.items()):
            in_doubt = run in self._doubted
            grace = self.settings.cancel_grace_seconds if in_doubt else self.settings.lease_seconds
            if since is None or now - since < grace:
                continue
            del self._rowless[run]
            if ActiveTask(run, pids[run]) in self.tasks():
                _log.warning("child outlived its row", run_id=run)
                self._kill(pids[run], signal.SIGKILL)
            end = self._doubted.pop(run, (False, "Its execution was settled already."))
            self._to_report.append((run, *end))
        for run in self._doubted.keys() - pids.keys():
            self._to_report.append((run, *self._doubted.pop(run)))

    def _write_canceled(self, row: HeldRow) -> None:
        with transaction(self.engine) as connection:
            transitions.finish(connection, row.fence, Status.CANCELED, reason="canceled")
            reach("supervisor.row_canceled")
            supervision.return_unstarted(connection, [row.token], reason="sibling_ended")

    def _write_timeout(self, row: HeldRow) -> None:
        problem = Problem("Timeout", "the attempt ran into its deadline and was ended")
        self._write_failed_attempt(row, Status.TIMEOUT, "timeout", problem)

    def _write_lost(self, row: HeldRow) -> None:
        last = row.attempt >= row.max_attempts and not row.cancel_requested
        found = self.committed(row.id) if last else None
        if found is not None:
            with transaction(self.engine) as connection:
                transitions.finish(
                    connection,
                    row.fence,
                    Status.SUCCESS,
                    reason="already_committed",
                    result=dict(found),
                )
                reach("supervisor.load_believed")
            return
        problem = Problem("WorkerLost", "the process that executed this attempt has died")
        self._write_failed_attempt(row, Status.FAILED, "worker_lost", problem)

    def _write_failed_attempt(
        self,
        row: HeldRow,
        final: Status,
        reason: str,
        problem: Problem,
    ) -> None:
        """Retry while attempts remain; a cancel that was asked for wins over both."""
        with transaction(self.engine) as connection:
            if row.attempt >= row.max_attempts and not row.cancel_requested:
                transitions.finish(connection, row.fence, final, reason=reason, problem=problem)
            else:
                wait = self.backoff.after_attempt(row.retry_backoff_seconds, row.attempt)
                transitions.return_to_pending(
                    connection,
                    row.fence,
                    after_seconds=wait,
                    reason=reason,
                    problem=problem,
                )
            reach("supervisor.attempt_settled")
            supervision.return_unstarted(connection, [row.token], reason="sibling_ended")

    def _settle_if_gone(self, row: HeldRow, now: float) -> None:
        """Write off a row whose run no child has, when two looks saw so (a task may be ending)."""
        first = self._gone.setdefault(row.run_id, now)
        if now <= first:
            return
        self._doubted[row.run_id] = (False, "The process that executed this run has died.")
        try:
            self._write_off(row)
        except FenceLost:
            del self._doubted[row.run_id]
            return
        except TargetUnavailable as outage:
            _log.warning("not decided yet", execution_id=row.id, reason=str(outage))
            del self._doubted[row.run_id]
            return
        reach("supervisor.loss_written")
        _log.warning("child lost", execution_id=row.id, run_id=row.run_id)
        self._to_report.append((row.run_id, *self._doubted.pop(row.run_id)))

    def _write_off(self, row: HeldRow) -> None:
        if row.status is Status.RUNNING:
            self._write_lost(row)
            return
        with transaction(self.engine) as connection:
            tokens = [row.token]
            supervision.return_unstarted(connection, tokens, reason="launch_lost", counted=True)
            reach("supervisor.launch_returned")

    def _kill(self, pid: int, number: int) -> None:
        try:
            self.kill(pid, number)
        except ProcessLookupError:
            _log.info("child is gone already", pid=pid)

    def _report(self) -> None:
        """Tell Dagster what ended; kept until it was heard."""
        for report in list(self._to_report):
            run_id, canceled, why = report
            if canceled:
                self.runs.report_canceled(run_id, why)
            else:
                self.runs.report_failed(run_id, why)
            reach("supervisor.run_reported")
            with suppress(ValueError):  # a shutdown that waited in vain for this thread was first
                self._to_report.remove(report)

    def _forget(self, rows: set[tuple[int, int]], runs: set[str]) -> None:
        self._signalled = {key: at for key, at in self._signalled.items() if key in rows}
        self._gone = {run: at for run, at in self._gone.items() if run in runs}
