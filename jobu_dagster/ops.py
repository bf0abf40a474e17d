"""The ops: one for plain handlers, one per stage of a staged handler."""

# No "from __future__ import annotations": Dagster compares the annotation of `context` itself.

from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from jobu_dagster.sink import OpSink

if TYPE_CHECKING:
    from jobu_dagster.resources import Launch


@dg.op(
    required_resource_keys={"launch"},
    out=dg.Out(dg.Nothing),
    description="Executes the rows this run carries, one after another.",
)
def execute(context: dg.OpExecutionContext) -> None:
    """Claim and run the executions of this run's launch."""
    launch: Launch = context.resources.launch
    launch.run_all(OpSink(context, launch.redact))


@cache
def stage_op(handler: str, stage: str, *, first: bool) -> dg.OpDefinition:
    """Return the op of one stage; the first to run claims, the last finishes."""

    @dg.op(
        name=stage,
        required_resource_keys={"launch"},
        ins={} if first else {"before": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        description=f"Stage {stage} of handler {handler}.",
    )
    def run_stage(context: dg.OpExecutionContext) -> None:
        launch: Launch = context.resources.launch
        launch.run_stage(stage, OpSink(context, launch.redact))

    return run_stage
