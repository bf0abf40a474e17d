"""What an attempt's end means for its row: the one table from exception to status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jobu_core.crash_points import reach
from jobu_core.errors import DataError, InvalidInput, JobuError, TargetBusy
from jobu_core.execution.interrupts import Stopped
from jobu_core.handlers.base import Cancel, Retry
from jobu_core.models import Status
from jobu_core.redaction import Redactor
from jobu_core.store import transitions
from jobu_core.store.documents import storable
from jobu_core.store.transitions import Problem

if TYPE_CHECKING:
    import sqlalchemy as sa

    from jobu_core.execution.retry import Backoff
    from jobu_core.models import Execution, Fence

MAX_RETRY_AFTER_SECONDS: Final = 30 * 86_400.0
"""The longest pause that ``Retry(after=…)`` may ask for."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where the row goes, and why."""

    status: Status
    """PENDING for another attempt, or the final status."""
    reason: str | None = None
    after_seconds: float = 0.0
    counted: bool = True
    problem: Problem | None = None

    def write(self, connection: sa.Connection, fence: Fence, result: Any) -> Status:  # noqa: ANN401 - a handler's own result
        """Write it, fenced; return the status the row has now (a cancel wins over a retry)."""
        if self.status is not Status.PENDING:
            transitions.finish(
                connection,
                fence,
                self.status,
                result=result if self.status is Status.SUCCESS else None,
                reason=self.reason or _reason_of(result),
                problem=self.problem,
            )
            reach("finish.row_written")
            return self.status
        status = transitions.return_to_pending(
            connection,
            fence,
            after_seconds=self.after_seconds,
            reason=self.reason or "retry",
            problem=self.problem,
            counted=self.counted,
        )
        reach("retry.row_written")
        return status

    def sentence(self, execution: Execution, status: Status) -> str:
        """Say it for the run's log."""
        head = f"execution {execution.id} ({execution.handler_name}), attempt {execution.attempt}"
        tried = f"{execution.attempt} of {execution.max_attempts}"
        why = f": {self.problem.type}: {self.problem.message}" if self.problem else ""
        if status is Status.PENDING:
            wait = f"{self.after_seconds:.0f} s"
            return f"{head} did not succeed ({tried}), runs again in {wait}{why}"
        return f"{head}: {status}{why}"


def _reason_of(result: object) -> str | None:
    """Let a SUCCESS that changed nothing say so: a handler's result may hold ``reason``."""
    reason = result.get("reason") if isinstance(result, dict) else None
    return storable(reason)[:64] if isinstance(reason, str) else None


def decide(
    error: BaseException | None,
    execution: Execution,
    backoff: Backoff,
    redact: Redactor = Redactor(),  # noqa: B008 - frozen
) -> Decision:
    """Return what happens to ``execution`` after ``error`` (None: it succeeded)."""
    match error:
        case None:
            return Decision(Status.SUCCESS)
        case Cancel():
            problem = Problem("Cancel", _message_of(error, redact))
            return Decision(Status.CANCELED, "handler", problem=problem)
        case Stopped() if error.lease.cancel_requested:
            return Decision(Status.CANCELED, "canceled")
        case _:
            problem = Problem(_type_of(error), _message_of(error, redact))
            return _after_failure(error, problem, execution, backoff)


def _after_failure(
    error: BaseException,
    problem: Problem,
    execution: Execution,
    backoff: Backoff,
) -> Decision:
    """Another attempt while there are any; never for what another attempt cannot change."""
    wait = backoff.after_attempt(execution.retry_backoff_seconds, execution.attempt)
    if isinstance(error, TargetBusy):
        return Decision(Status.PENDING, error.code, max(1.0, wait), counted=False, problem=problem)
    if isinstance(error, DataError | InvalidInput):
        return Decision(Status.FAILED, error.code, problem=problem)
    final = Status.TIMEOUT if isinstance(error, Stopped) else Status.FAILED
    reason = _reason_for(error)
    if execution.attempt >= execution.max_attempts:
        return Decision(final, reason, problem=problem)
    if isinstance(error, Retry) and error.after is not None:
        wait = min(MAX_RETRY_AFTER_SECONDS, max(0.0, error.after))
    return Decision(Status.PENDING, reason, wait, problem=problem)


def _reason_for(error: BaseException) -> str:
    if isinstance(error, Stopped):
        return "timeout"
    if isinstance(error, Retry):
        return "retry"
    return error.code if isinstance(error, JobuError) else "handler_error"


def _message_of(error: BaseException, redact: Redactor) -> str:
    """Return an exception's message as the row may hold it; user code wrote its ``__str__``."""
    try:
        said = str(error)
    except Exception as broken:  # noqa: BLE001 - user code may raise anything
        said = f"its message cannot be read: {type(broken).__name__}"
    return storable(redact(said))


def _type_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
