"""Two sensors: one reads Kafka, one settles what runs and workers left behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import dagster as dg

from jobu_core.errors import Outage
from jobu_dagster.launching import request_runs
from jobu_dagster.process import process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobu_dagster.launching import Requested


def build_sensors(jobs: Sequence[dg.JobDefinition]) -> Sequence[dg.SensorDefinition]:
    """Return the event sensor and the reconciler, both on by default."""
    return [_events(jobs), _reconciler(jobs)]


def _events(jobs: Sequence[dg.JobDefinition]) -> dg.SensorDefinition:
    @dg.sensor(
        jobs=jobs,
        name="kafka_events",
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Turns messages of the topic into executions and launches them.",
    )
    def kafka_events(_context: dg.SensorEvaluationContext) -> dg.SensorResult:
        runtime = process().runtime()
        try:
            # Released after the tick: a queue_dispatcher that was started meanwhile takes over.
            with process().ingest_turn() as ingest:
                tick = ingest.tick(runtime.settings.queue_dispatcher.tick_seconds)
        except Outage as outage:
            return _result(request_runs(runtime), f"nothing ingested: {outage}")
        return _result(request_runs(runtime), *tick.messages)

    return kafka_events


def _reconciler(jobs: Sequence[dg.JobDefinition]) -> dg.SensorDefinition:
    @dg.sensor(
        jobs=jobs,
        name="reconciler",
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Settles lost launches, dead workers and cancels; launches what is due.",
    )
    def reconciler(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        tick = process().reconciler(context.instance).tick()
        return _result(request_runs(process().runtime()), tick.message)

    return reconciler


def _result(requested: Requested, *messages: str) -> dg.SensorResult:
    """Say what happened: in the skip reason, or beside run requests in the cursor.

    A tick with run requests has no skip reason; its cursor is shown in the UI and
    read by nobody else.
    """
    said = [message for message in (*messages, requested.message) if message]
    if not requested.requests:
        return dg.SensorResult(skip_reason="; ".join(said))
    return dg.SensorResult(
        run_requests=list(requested.requests),
        cursor=json.dumps({"last_tick": said}, ensure_ascii=False),
    )
