"""Schedule and sensor bodies against a real store, broker and Dagster instance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import dagster as dg
import pytest
import sqlalchemy as sa
from confluent_kafka import Producer

import jobu_dagster.process
from jobu_core.dispatcher.cron.edit import add_job
from jobu_core.models import Status
from jobu_core.store import workers
from jobu_core.store.engine import transaction
from jobu_core.store.executions import list_executions
from jobu_dagster.definitions import build_definitions
from jobu_dagster.private import open_instance
from jobu_dagster.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobu_core.services.runtime import Runtime


@pytest.fixture
def runtime(
    project: Path,
    mock_kafka: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Runtime]:
    """Return what the tick bodies use in this test, with one live worker announced."""
    del project
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", mock_kafka)
    own = Process()
    monkeypatch.setattr(jobu_dagster.process, "_current", own)
    opened = own.runtime()
    with transaction(opened.engine) as connection:
        workers.beat(
            connection,
            worker_id="w",
            host="h",
            main_pid=1,
            slots=2,
            code_version=opened.registry.code_version,
            draining=False,
        )
    yield opened
    own.close()


def schedule_requests(
    definitions: dg.Definitions,
    name: str,
    at: datetime,
    instance: dg.DagsterInstance,
) -> list[dg.RunRequest]:
    """Evaluate one schedule tick; return its run requests."""
    schedule = definitions.get_repository_def().get_schedule_def(name)
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=at) as context:
        return list(schedule.evaluate_tick(context).run_requests or [])


def test_schedule_tick_dispatches_once_and_asks_for_the_run(
    runtime: Runtime, project: Path
) -> None:
    """Due occurrence → row → run request keyed by its token; a repeated tick adds nothing."""
    definitions = build_definitions(runtime.registry)
    instance = open_instance(project)
    values = {"name": "often", "cron_expression": "* * * * *", "handler_name": "sample_handler"}
    add_job(runtime.engine, runtime.registry, runtime.settings.dispatcher, values, who="test")
    with transaction(runtime.engine) as connection:
        connection.execute(
            sa.text("UPDATE cron_jobs SET dispatched_until = now() - interval '61 seconds'"),
        )
    at = datetime.now(UTC).replace(second=0, microsecond=0)
    (request,) = schedule_requests(definitions, "cron_sample_handler", at, instance)
    with transaction(runtime.engine) as connection:
        (row,) = list_executions(connection)
    assert row.status is Status.QUEUED
    assert row.param_source == "cron"
    assert request.run_key == str(row.lease_token)
    assert request.run_config["resources"]["launch"]["config"] == {
        "token": str(row.lease_token),
        "execution_ids": [row.id],
    }
    assert request.tags["jobu/launch"] == str(row.lease_token)
    assert schedule_requests(definitions, "cron_sample_handler", at, instance) == []
    with transaction(runtime.engine) as connection:
        assert len(list_executions(connection)) == 1


def test_event_tick_ingests_and_launches_any_handler(
    runtime: Runtime,
    project: Path,
    mock_kafka: str,
) -> None:
    """One good and one bad message: one run request, one dead letter, and a cursor that says so."""
    producer = Producer({"bootstrap.servers": mock_kafka})
    producer.produce("jobu-events", b'{"handler_name": "sample_handler", "params": {"k": 1}}')
    producer.produce("jobu-events", b"garbage")
    assert producer.flush(10) == 0
    sensor = build_definitions(runtime.registry).get_repository_def().get_sensor_def("kafka_events")
    instance = open_instance(project)
    with dg.build_sensor_context(instance=instance) as context:
        data = sensor.evaluate_tick(context)
    requests = data.run_requests or []
    assert [request.job_name for request in requests] == ["sample_handler"]
    assert data.cursor is not None
    assert "2 messages: 1 executions, 1 dead letters" in data.cursor
    assert UUID(requests[0].run_key or "")


def test_event_tick_survives_a_broker_that_is_away(
    runtime: Runtime,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No tick fails for an outage; it says what it waits for."""
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__TICK_SECONDS", "0.5")
    monkeypatch.setattr(jobu_dagster.process, "_current", Process())
    sensor = build_definitions(runtime.registry).get_repository_def().get_sensor_def("kafka_events")
    with dg.build_sensor_context(instance=open_instance(project)) as context:
        data = sensor.evaluate_tick(context)
    jobu_dagster.process.process().close()
    assert data.skip_message is not None
    assert "nothing ingested" in data.skip_message


def test_reconciler_tick_returns_a_launch_whose_run_never_came(
    runtime: Runtime,
    project: Path,
) -> None:
    """A UI test tick drops its run requests: the row goes back to PENDING after the grace."""
    definitions = build_definitions(runtime.registry)
    instance = open_instance(project)
    values = {"name": "often", "cron_expression": "* * * * *", "handler_name": "sample_handler"}
    add_job(runtime.engine, runtime.registry, runtime.settings.dispatcher, values, who="test")
    with transaction(runtime.engine) as connection:
        connection.execute(
            sa.text("UPDATE cron_jobs SET dispatched_until = now() - interval '61 seconds'"),
        )
    at = datetime.now(UTC).replace(second=0, microsecond=0)
    assert schedule_requests(definitions, "cron_sample_handler", at, instance)
    with transaction(runtime.engine) as connection:
        connection.execute(
            sa.text("UPDATE job_executions SET queued_at = queued_at - interval '1 minute'"),
        )
    sensor = definitions.get_repository_def().get_sensor_def("reconciler")
    with dg.build_sensor_context(instance=instance) as context:
        data = sensor.evaluate_tick(context)
    with transaction(runtime.engine) as connection:
        (row,) = list_executions(connection)
    assert row.status is Status.PENDING
    assert row.reason == "launch_lost"
    assert row.launch_count == 1
    assert "relaunch" in (data.skip_message or "")


def test_a_fused_row_is_launched_in_its_own_job(runtime: Runtime, project: Path) -> None:
    """The schedule can launch only job pipeline and leaves it; the sensor launches it at once."""
    definitions = build_definitions(runtime.registry)
    instance = open_instance(project)
    values = {
        "name": "often",
        "cron_expression": "* * * * *",
        "handler_name": "pipeline",
        "handler_params": {"dataset": "sample", "fused": True},
    }
    add_job(runtime.engine, runtime.registry, runtime.settings.dispatcher, values, who="test")
    with transaction(runtime.engine) as connection:
        connection.execute(
            sa.text("UPDATE cron_jobs SET dispatched_until = now() - interval '61 seconds'"),
        )
    at = datetime.now(UTC).replace(second=0, microsecond=0)
    assert schedule_requests(definitions, "cron_pipeline", at, instance) == []
    sensor = definitions.get_repository_def().get_sensor_def("reconciler")
    with dg.build_sensor_context(instance=instance) as context:
        (request,) = sensor.evaluate_tick(context).run_requests or []
    with transaction(runtime.engine) as connection:
        (row,) = list_executions(connection)
    assert (row.handler_name, row.status) == ("pipeline", Status.QUEUED)
    assert (request.job_name, request.run_key) == ("pipeline_fused", str(row.lease_token))
    assert request.tags["jobu/handler"] == "pipeline"
