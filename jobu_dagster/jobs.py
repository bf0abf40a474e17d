"""A Dagster job per registered handler, from a factory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from jobu_core.handlers.base import StagedHandler
from jobu_core.models import fused_job
from jobu_dagster.ops import execute, stage_op
from jobu_dagster.resources import launch_resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobu_core.handlers.base import BaseHandler
    from jobu_core.handlers.registry import Registry


def build_jobs(registry: Registry) -> Sequence[dg.JobDefinition]:
    """Return one job per handler, named like it; staged handlers have an op per stage.

    One that can be fused has a second job, in which all stages are one op.
    """
    jobs = [build_job(registry.get(name)) for name in registry.names]
    fused = [build_job(registry.get(name), fused=True) for name in sorted(registry.fusible)]
    return [*jobs, *fused]


def build_job(handler: BaseHandler, *, fused: bool = False) -> dg.JobDefinition:
    """Return the job of one handler, or the second one of a handler that can be fused."""
    description = (type(handler).__doc__ or handler.name).strip().splitlines()[0]

    @dg.job(
        name=fused_job(handler.name) if fused else handler.name,
        description=f"{description} One op for params with fused: true." if fused else description,
        executor_def=dg.in_process_executor,
        resource_defs={"launch": launch_resource, "io_manager": dg.mem_io_manager},
    )
    def job() -> None:
        if fused or not isinstance(handler, StagedHandler):
            execute()
            return
        done = None
        for stage in handler.stages:
            op = stage_op(handler.name, stage, first=done is None)
            done = op() if done is None else op(done)

    return job
