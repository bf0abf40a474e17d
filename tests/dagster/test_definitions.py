"""What Dagster loads, held to a snapshot; loading touches no database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from jobu_core.config import load_settings
from jobu_core.handlers.registry import load_registry
from jobu_dagster.definitions import build_definitions

if TYPE_CHECKING:
    from pathlib import Path

HANDLERS = ("db_loader", "pandas_preprocess", "pipeline", "pydantic_validator", "sample_handler")


@pytest.fixture
def definitions(project: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    """Return the definitions of the project's configuration, with no database to reach."""
    monkeypatch.setenv("JOBU_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    settings = load_settings(project)
    registry = load_registry(settings.handlers, settings.datasets, root=project)
    return build_definitions(registry)


def test_one_job_and_schedule_per_handler(definitions: dg.Definitions) -> None:
    """Each built-in handler has its job and its minute schedule; pipeline has a second job."""
    repository = definitions.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert jobs == {*HANDLERS, "pipeline_fused"}
    schedules = {schedule.name: schedule for schedule in repository.schedule_defs}
    assert set(schedules) == {f"cron_{name}" for name in HANDLERS}
    for name in HANDLERS:
        schedule = schedules[f"cron_{name}"]
        assert schedule.job_name == name
        assert schedule.cron_schedule == "* * * * *"
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_sensors_target_every_job(definitions: dg.Definitions) -> None:
    """The event sensor and the reconciler may launch any handler, and are on."""
    sensors = {sensor.name: sensor for sensor in definitions.get_repository_def().sensor_defs}
    assert set(sensors) == {"kafka_events", "reconciler"}
    for sensor in sensors.values():
        assert {target.job_name for target in sensor.targets} == {*HANDLERS, "pipeline_fused"}
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_pipeline_has_its_three_ops_in_order(definitions: dg.Definitions) -> None:
    """Preprocess before validate before load; every other job has one op."""
    pipeline = definitions.resolve_job_def("pipeline")
    assert [node.name for node in pipeline.nodes_in_topological_order] == [
        "preprocess",
        "validate",
        "load",
    ]
    for name in ("sample_handler", "pipeline_fused"):
        plain = definitions.resolve_job_def(name)
        assert [node.name for node in plain.nodes_in_topological_order] == ["execute"]


def test_every_job_runs_in_process(definitions: dg.Definitions) -> None:
    """A warm worker executes the ops itself; results stay in memory."""
    for name in (*HANDLERS, "pipeline_fused"):
        job = definitions.resolve_job_def(name)
        assert job.executor_def.name == "in_process"


def test_dataset_assets_have_their_edges(definitions: dg.Definitions) -> None:
    """The sample dataset: file → parquet → valid → table, its checks declared."""
    graph = definitions.resolve_asset_graph()
    edges = {
        tuple(key.path): {tuple(parent.path) for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert edges[("sample", "file")] == set()
    assert edges[("sample", "parquet")] == {("sample", "file")}
    assert edges[("sample", "valid")] == {("sample", "parquet")}
    assert edges[("default", "public", "sample")] == {("sample", "valid")}
    checks = {(tuple(key.asset_key.path), key.name) for key in graph.asset_check_keys}
    assert checks == {
        (("sample", "valid"), "rejects_within_limits"),
        (("default", "public", "sample"), "rows_landed"),
    }
