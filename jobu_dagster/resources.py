"""The run-scoped resource ``launch``: claims rows when the first op asks, settles at the end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from uuid import UUID

import dagster as dg

from jobu_core.config.secrets import redactor_of
from jobu_core.crash_points import reach
from jobu_core.dispatcher.cron.manual import run_now
from jobu_core.errors import JobuError
from jobu_core.execution.adopt import adopt_params, adopt_pending, adopt_rerun
from jobu_core.execution.batch import run_batch
from jobu_core.execution.run import Attempt, Outcome
from jobu_core.models import MAX_ID
from jobu_dagster.process import process
from jobu_dagster.supervision import worker_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jobu_core.execution.runtime import ExecutionRuntime
    from jobu_dagster.sink import OpSink

LAUNCH_CONFIG = {
    "token": dg.Field(str, is_required=False, description="Written by jobu: the launch."),
    "execution_ids": dg.Field([int], is_required=False, description="Written by jobu: the rows."),
    "cron": dg.Field(str, is_required=False, description="By hand: name of a cron job to run now."),
    "params": dg.Field(
        dg.Permissive(),  # type: ignore[no-untyped-call]
        is_required=False,
        description="By hand: handler params.",
    ),
}


class Launch:
    """What one run carries, and the attempt it is executing."""

    def __init__(
        self, runtime: ExecutionRuntime, run: dg.DagsterRun, config: Mapping[str, Any]
    ) -> None:
        """Claim nothing yet."""
        self.redact = redactor_of(runtime.settings)
        self._runtime = runtime
        self._run = run
        self._config = config
        self._attempt: Attempt | None = None
        self._superseded = False

    def run_all(self, sink: OpSink) -> None:
        """Execute every row of the launch; fail the step after all were tried (rule 15)."""

        def begin(execution_id: int, token: UUID) -> Attempt | None:
            self._attempt = self._begin(execution_id, token, sink)
            return self._attempt

        outcomes = run_batch(self._runtime, self._rows(), begin, sink)
        _conclude(outcomes, sink)

    def run_stage(self, stage: str, sink: OpSink) -> None:
        """Execute one stage; the first to run claims, the last one finishes."""
        if self._superseded:
            return
        if self._attempt is None:
            (execution_id, token), *others = self._rows()
            if others:
                raise dg.Failure("a run of stages carries one execution", allow_retries=False)
            self._attempt = self._begin(execution_id, token, sink)
            if self._attempt is None:
                self._superseded = True
                return
        outcome = self._attempt.run_stage(stage, sink)
        if outcome is not None:
            sink.log(outcome.message)
            _conclude([outcome], sink)

    def close(self) -> None:
        """Settle a row that was claimed but not finished: the framework failed in between."""
        if self._attempt is not None:
            self._attempt.abandon(RuntimeError("the run ended before the execution did"))

    def _begin(self, execution_id: int, token: UUID, sink: OpSink) -> Attempt | None:
        attempt = Attempt.begin(
            self._runtime,
            execution_id,
            token,
            run_id=self._run.run_id,
            worker_id=worker_id(),
            exit_process=os._exit,
        )
        if attempt is None:
            sink.log(f"superseded: execution {execution_id} is not this launch's any more")
        return attempt

    def _rows(self) -> Sequence[tuple[int, UUID]]:
        """Return (execution id, token) of what this run is to execute."""
        ids = self._config.get("execution_ids") or []
        token = self._config.get("token")
        try:
            _check_ids(ids)
            if ids and self._run.parent_run_id is not None:
                own = UUID(self._run.run_id)
                return [(adopt_rerun(self._runtime, id_, self._run.run_id), own) for id_ in ids]
            if ids and token:
                return [(id_, UUID(token)) for id_ in ids]
            return [(self._adopt(), UUID(self._run.run_id))]
        except (JobuError, ValueError) as error:
            raise dg.Failure(str(error), allow_retries=False) from None

    def _adopt(self) -> int:
        """Make a row for a run started by hand in the Launchpad."""
        cron = self._config.get("cron")
        params = self._config.get("params")
        engine, registry = self._runtime.engine, self._runtime.registry
        handler = registry.handler_of_job(self._run.job_name)
        if cron:
            made = run_now(engine, registry, cron, who="dagster", handler_name=handler)
            reach("by_hand.cron_row_inserted")
            return adopt_pending(self._runtime, made, self._run.run_id)
        if params is not None:
            fused = {} if handler == self._run.job_name else {"fused": True}
            return adopt_params(self._runtime, handler, {**fused, **params}, self._run.run_id)
        raise ValueError(
            "nothing to execute: give resources.launch.config.params (the handler's params)"
            " or .cron (a cron job's name)",
        )


def _check_ids(ids: Sequence[int]) -> None:
    if not all(0 < id_ <= MAX_ID for id_ in ids):
        raise ValueError("execution_ids: an id is a number from 1 to 2**63 - 1")


def _conclude(outcomes: Sequence[Outcome], sink: OpSink) -> None:
    """Show the results on the step; fail it if any execution did not succeed."""
    sink.summarize({f"execution {one.execution_id}": _shown(one) for one in outcomes})
    failed = [one for one in outcomes if not one.ok]
    if failed:
        raise dg.Failure("; ".join(one.message for one in failed), allow_retries=False)


def _shown(outcome: Outcome) -> dg.MetadataValue[Any]:
    if isinstance(outcome.result, dict):
        return dg.MetadataValue.json(outcome.result)
    return dg.MetadataValue.text(str(outcome.result or outcome.message))


@dg.resource(config_schema=LAUNCH_CONFIG, description="The executions this run carries.")
def launch_resource(context: dg.InitResourceContext) -> Iterator[Launch]:
    """Yield the run's launch; whatever is unsettled afterwards is settled."""
    run = context.run
    if run is None:
        msg = "the launch resource exists only inside a run"
        raise dg.DagsterInvariantViolationError(msg)
    launch = Launch(process().execution(), run, context.resource_config or {})
    try:
        yield launch
    finally:
        launch.close()
