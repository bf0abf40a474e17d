"""The doctor names what is wrong and what to do; it starts nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from jobu_admin.cli import build_app
from jobu_core.config import load_settings
from jobu_core.dispatcher.queue.adapter.base import Watermarks
from jobu_core.handlers.registry import load_registry
from jobu_core.models import NewExecution, ParamSource, Position, Trigger
from jobu_core.services import doctor
from jobu_core.services.doctor import Finding, examine
from jobu_core.services.layout import layout_of
from jobu_core.services.orphans import stack_processes
from jobu_core.store import diagnosis, workers
from jobu_core.store.engine import open_engine, transaction
from jobu_core.store.executions import insert_executions
from jobu_core.store.meta import read_installation, rotate_installation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobu_core.config import Settings


@pytest.fixture
def store(
    project: Path,
    database_url: str,
    mock_kafka: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[sa.Engine]:
    """Return an engine on the job store of a project without any process."""
    del project
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", mock_kafka)
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def _found(settings: Settings | None = None) -> dict[str, Finding]:
    return {each.check: each for each in examine(settings or load_settings())}


def _beat(engine: sa.Engine, code_version: str) -> None:
    with transaction(engine) as connection:
        workers.beat(
            connection,
            worker_id="w1",
            host="h",
            main_pid=1,
            slots=2,
            code_version=code_version,
            draining=False,
        )


def _code_version(settings: Settings) -> str:
    return load_registry(settings.handlers, settings.datasets, root=settings.root).code_version


def test_nothing_runs_and_nothing_is_started(embedded: Settings) -> None:
    """Each missing service is a problem with its remedy; the job store comes first."""
    found = _found(embedded)
    assert not found["job store"].ok
    assert "jobu up" in found["job store"].advice
    assert not found["broker"].ok
    assert "workers" not in found
    assert stack_processes(layout_of(embedded)) == []


def test_due_rows_without_a_worker_are_a_problem(store: sa.Engine) -> None:
    """It says how many wait, and what starts a worker."""
    row = NewExecution("sample_handler", {}, ParamSource.EVENT, Trigger.EVENT)
    with transaction(store) as connection:
        insert_executions(connection, [row, row])
    workers_found = _found()["workers"]
    assert not workers_found.ok
    assert "2 due" in workers_found.found
    assert "main.py worker" in workers_found.advice


def test_a_live_worker_of_this_code_is_fine(store: sa.Engine) -> None:
    """Its slots are shown."""
    _beat(store, _code_version(load_settings()))
    workers_found = _found()["workers"]
    assert workers_found.ok
    assert workers_found.found.startswith("2 slots of this code version")


def test_workers_of_other_code_only_are_a_problem(store: sa.Engine) -> None:
    """They are counted apart: nothing is launched to them."""
    _beat(store, "another")
    workers_found = _found()["workers"]
    assert not workers_found.ok
    assert "2 of others" in workers_found.found


def test_a_store_without_the_schema_is_told_to_migrate(
    store: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The checks that need the schema are left out, not failed."""
    monkeypatch.setattr(doctor, "current_revision", lambda _: None)
    del store
    found = _found()
    assert not found["schema"].ok
    assert "jobu migrate" in found["schema"].advice
    assert "workers" not in found


def test_launches_that_are_lost_again_and_again_are_named(store: sa.Engine) -> None:
    """The execution's id leads to the worker's log."""
    row = NewExecution("sample_handler", {}, ParamSource.EVENT, Trigger.EVENT)
    with transaction(store) as connection:
        (made,) = insert_executions(connection, [row])
        connection.execute(
            sa.text("UPDATE job_executions SET launch_count = 2 WHERE id = :id"),
            {"id": made},
        )
    launches = _found()["launches"]
    assert not launches.ok
    assert str(made) in launches.found


def test_a_clock_that_runs_ahead_is_measured(
    store: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than the dispatcher tolerates is a problem."""
    real = diagnosis.database_time
    monkeypatch.setattr(
        diagnosis,
        "database_time",
        lambda connection: real(connection).replace(year=2100),
    )
    del store
    clock = _found()["clock"]
    assert not clock.ok
    assert "ahead" in clock.found


def test_two_daemons_of_one_project_are_reported(
    store: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their pids are named; one is normal."""
    del store
    monkeypatch.setattr(doctor, "daemon_pids", lambda _: [11, 12])
    assert "[11, 12]" in _found()["daemons"].found
    monkeypatch.setattr(doctor, "daemon_pids", lambda _: [11])
    assert _found()["daemons"].ok


def test_a_broker_that_does_not_answer_is_a_problem(
    store: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kafka's address is what to correct."""
    del store
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    kafka = _found()["kafka"]
    assert not kafka.ok
    assert "kafka_bootstrap_servers" in kafka.advice


def test_positions_are_held_against_what_the_topic_has() -> None:
    """After the end, and before the beginning, are losses; the rest is lag."""
    positions = [
        Position("g", "t", 1, number, "c", None, offset) for number, offset in enumerate((5, 3, 9))
    ]
    marks = {number: Watermarks(low=4, high=8) for number in range(3)}
    problems, lag = doctor._compare(positions, marks)
    assert problems == [
        "partition 1: messages lost before being read",
        "partition 2: position after the end",
    ]
    assert lag == 3


def test_a_restored_backup_gets_a_new_installation(store: sa.Engine) -> None:
    """Load keys of the restored rows must not meet those of the original."""
    with transaction(store) as connection:
        before = read_installation(connection)
        after = rotate_installation(connection)
        assert after != before
        assert read_installation(connection) == after


def test_the_command_lists_findings_as_json_and_fails_on_a_problem(store: sa.Engine) -> None:
    """Exit code 1 is what a monitoring script needs."""
    del store
    done = CliRunner().invoke(build_app(), ["doctor", "--json"])
    assert done.exit_code == 1
    listed = {each["check"]: each for each in json.loads(done.stdout)}
    assert listed["job store"]["ok"] is True
    assert listed["workers"]["ok"] is False
