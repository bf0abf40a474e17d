"""One attempt of one execution: claim, run the handler, write what came of it.

Every write is fenced; a refused one means that another launch owns the row, and
this process must end at once (rule 10): the caller passes ``exit_process``.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

from jobu_core.config.secrets import redactor_of
from jobu_core.crash_points import reach
from jobu_core.errors import FenceLost
from jobu_core.execution.claim import claim
from jobu_core.execution.context import build_context
from jobu_core.execution.interrupts import Stopped, judged_interrupts
from jobu_core.execution.outcome import Decision, decide
from jobu_core.handlers.base import StagedHandler
from jobu_core.models import Fence, Status
from jobu_core.store import transitions
from jobu_core.store.documents import refusal
from jobu_core.store.engine import transaction
from jobu_core.store.patience import patiently, write_once

if TYPE_CHECKING:
    from uuid import UUID

    from jobu_core.execution.runtime import ExecutionRuntime, Sink
    from jobu_core.models import Execution
    from jobu_core.store.transitions import Lease

_log: Final = structlog.get_logger(__name__)

ExitProcess = Callable[[int], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, as written to the row."""

    execution_id: int
    attempt: int
    status: Status
    message: str
    result: Any = None

    @property
    def ok(self) -> bool:
        """Whether the Dagster run may end as SUCCESS for this execution."""
        return self.status is Status.SUCCESS


@dataclass(slots=True)
class Attempt:
    """A claimed execution; ``begin`` makes one, ``run`` or the stages use it up."""

    runtime: ExecutionRuntime
    execution: Execution
    fence: Fence
    exit_process: ExitProcess
    carried: dict[str, Any] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    outcome: Outcome | None = None
    _until: float = 0.0

    @classmethod
    def begin(
        cls,
        runtime: ExecutionRuntime,
        execution_id: int,
        token: UUID,
        *,
        run_id: str,
        worker_id: str,
        exit_process: ExitProcess,
    ) -> Attempt | None:
        """Claim the row; None when this launch is superseded. Raises StoreUnavailable."""
        execution = claim(
            runtime,
            execution_id,
            token,
            run_id=run_id,
            worker_id=worker_id,
        )
        if execution is None:
            return None
        _log.info(
            "execution starts",
            execution_id=execution.id,
            attempt=execution.attempt,
            handler=execution.handler_name,
        )
        fence = Fence(execution.id, token, execution.attempt)
        attempt = cls(runtime, execution, fence, exit_process)
        attempt._until = runtime.clock.monotonic() + execution.timeout_seconds
        return attempt

    def run(self, sink: Sink) -> Outcome:
        """Run a plain handler from start to end."""

        def work() -> Any:  # noqa: ANN401 - a handler's own result
            registry = self.runtime.registry
            handler = registry.get(self.execution.handler_name)
            params = registry.parse(self.execution.handler_name, self.execution.params)
            return handler.run(build_context(self, sink), params)

        result, problem = self._guarded(work, sink)
        return self._settle(result, problem)

    def run_stage(self, stage: str, sink: Sink) -> Outcome | None:
        """Run one stage (and those before it that have not run); the last one finishes.

        Returns the outcome when the attempt has ended: after the last stage, or
        after a failure; None while more stages follow.
        """
        if self.outcome is not None:
            return self.outcome
        registry = self.runtime.registry

        def work() -> Mapping[str, Any]:
            handler = registry.get(self.execution.handler_name)
            if not isinstance(handler, StagedHandler):
                msg = f"handler {handler.name} has no stages"
                raise TypeError(msg)
            params = registry.parse(self.execution.handler_name, self.execution.params)
            context = build_context(self, sink)
            for name in handler.stages[: handler.stages.index(stage) + 1]:
                if name not in self.done:
                    self.carried |= handler.run_stage(name, context, params, self.carried)
                    self.done.append(name)
                    reach("attempt.stage_done")
            return self.carried

        result, problem = self._guarded(work, sink)
        if problem is None and self.done[-1] != self._last_stage():
            return None
        return self._settle(result, problem)

    def abandon(self, error: BaseException) -> Outcome | None:
        """Settle a row that the framework left unfinished between two ops."""
        if self.outcome is None:
            return self._settle(None, error)
        return None

    def read_lease(self) -> Lease:
        """Return what the row asks of its owner; raises FenceLost, StoreUnavailable."""
        with transaction(self.runtime.engine) as connection:
            return transitions.read_lease(connection, self.fence)

    def confirm_lease(self) -> Lease:
        """Read the lease before a commit; waits for the store until the deadline (rule 18)."""
        return patiently(self.read_lease, clock=self.runtime.clock, until=self._until)

    def _last_stage(self) -> str | None:
        handler = self.runtime.registry.get(self.execution.handler_name)
        return handler.stages[-1] if isinstance(handler, StagedHandler) else None

    def _guarded(
        self,
        work: Callable[[], Any],
        sink: Sink,
    ) -> tuple[Any, BaseException | None]:
        """Run user code; return its result, or what it raised. Ends the process on FenceLost."""
        folder = self.runtime.work_dir(self.execution.id, self.execution.attempt)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with sink.captured_output(), judged_interrupts(self.read_lease):
                return work(), None
        except FenceLost as error:
            self._leave(error)
            return None, error
        except Stopped as error:
            return None, error
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything
            sink.log("".join(traceback.format_exception(error)))
            return None, error

    def _settle(self, result: Any, problem: BaseException | None) -> Outcome:  # noqa: ANN401 - a handler's own result
        """Write the end of the attempt; keeps trying while the store is away (rule 18)."""
        reach("attempt.work_ended")
        if problem is None:
            problem = _json_problem(result)
        redact = redactor_of(self.runtime.settings)
        decision = decide(problem, self.execution, self.runtime.backoff, redact)
        status = self._write(decision, result)
        reach("finish.committed")
        if status is Status.SUCCESS:
            folder = self.runtime.work_dir(self.execution.id, self.execution.attempt)
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # earlier attempts, or rejects, lie there still
                folder.parent.rmdir()
            reach("finish.folder_removed")
        self.outcome = Outcome(
            self.execution.id,
            self.execution.attempt,
            status,
            decision.sentence(self.execution, status),
            result if status is Status.SUCCESS else None,
        )
        _log.info(
            "execution ends",
            execution_id=self.execution.id,
            attempt=self.execution.attempt,
            status=status.value,
            reason=decision.reason,
        )
        return self.outcome

    def _write(self, decision: Decision, result: Any) -> Status:  # noqa: ANN401 - a handler's own result
        try:
            return write_once(
                self.runtime.engine,
                lambda connection: decision.write(connection, self.fence, result),
                clock=self.runtime.clock,
                until=self._until,
            )
        except FenceLost as error:
            self._leave(error)
            raise

    def _leave(self, error: FenceLost) -> None:
        """End this process: only so is a pid exact until it is dead."""
        _log.warning("ending this process", execution_id=self.execution.id, reason=str(error))
        self.exit_process(1)


def _json_problem(result: object) -> BaseException | None:
    problem = refusal(result)
    return None if problem is None else TypeError(f"the handler's result {problem}")
