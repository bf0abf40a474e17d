"""Claimed rows become run requests; the same step for schedules and sensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from jobu_core.crash_points import reach
from jobu_core.dispatcher.launch import claim_due
from jobu_core.services.ensure import ensure_valkey, ensure_worker
from jobu_dagster.runs import run_config, run_tags

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobu_core.dispatcher.launch import LaunchPlan
    from jobu_core.models import LaunchBatch
    from jobu_core.services.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Requested:
    """Run requests of one tick and what to say about them."""

    requests: tuple[dg.RunRequest, ...]
    message: str


def claim(runtime: Runtime, handlers: Collection[str] | None = None) -> LaunchPlan:
    """Claim due rows of ``handlers`` (all registered ones by default).

    A schedule names its own and can launch nothing but its job: rows with ``fused:
    true`` wait for a sensor, which is there within seconds.

    In the embedded stack this first sees to it that a worker is there.
    """
    ensure_valkey(runtime.settings)
    ensure_worker(runtime.settings)
    return claim_due(
        runtime.engine,
        handlers=runtime.registry.names if handlers is None else handlers,
        fusible=runtime.registry.fusible,
        with_fused=handlers is None,
        settings=runtime.settings.dispatcher.launch,
        code_version=runtime.registry.code_version,
        lease_seconds=runtime.settings.worker.lease_seconds,
        alone=runtime.registry.staged,
    )


def request_runs(runtime: Runtime, handlers: Collection[str] | None = None) -> Requested:
    """Claim due rows and ask for one run per batch; run_key = launch token."""
    plan = claim(runtime, handlers)
    reach("launching.rows_claimed")
    return Requested(tuple(_request(batch) for batch in plan.batches), plan.message)


def _request(batch: LaunchBatch) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=str(batch.token),
        job_name=batch.job,
        run_config=run_config(batch),
        tags=run_tags(batch),
    )
