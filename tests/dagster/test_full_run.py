"""One execution from row to SUCCESS, through Dagster, Celery and a warm worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from jobu_core.config import load_settings
from jobu_core.models import Execution, NewExecution, ParamSource, Status, Trigger
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution, insert_executions
from jobu_dagster.launching import claim
from jobu_dagster.private import open_instance
from jobu_dagster.process import process
from jobu_dagster.runs import DagsterRunGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def worker(project: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a real worker on the project; ended by SIGTERM, as supervisord would."""
    command = [sys.executable, "-m", "celery", "-A", "jobu_dagster.worker", "worker"]
    arguments = ["--concurrency=2", "--queues=dagster", "--loglevel=INFO", "--hostname=t@%h"]
    log = (project / "worker.log").open("wb")
    started = subprocess.Popen(
        [*command, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    yield started
    started.terminate()
    try:
        started.wait(timeout=15)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        log.close()


def eventually(read: Callable[[], Execution], wanted: Status, seconds: float = 40) -> Execution:
    """Wait until the row has the wanted status; fail with what it is otherwise."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = read()
        if found.status is wanted:
            return found
    pytest.fail(f"expected {wanted}, found {read()}")


def insert_event(engine: Engine, handler: str, params: dict[str, object]) -> int:
    """Insert one PENDING event row."""
    new = NewExecution(handler, params, ParamSource.EVENT, Trigger.EVENT)
    with transaction(engine) as connection:
        (made,) = insert_executions(connection, [new])
    assert made is not None
    return made


@pytest.mark.usefixtures("worker")
def test_a_row_becomes_a_run_and_ends_success(engine: Engine, project: Path) -> None:
    """A claimed row is launched, executed by the worker, and the run is SUCCESS as well."""
    execution_id = insert_event(engine, "sample_handler", {"key": "value"})
    runtime = process().runtime()
    instance = open_instance(load_settings(project).root)
    gateway = DagsterRunGateway(instance, project)
    deadline = time.monotonic() + 40
    batches = ()
    while not batches and time.monotonic() < deadline:
        batches = claim(runtime).batches
    (batch,) = batches
    run_id = gateway.launch(batch)

    def read() -> Execution:
        with transaction(engine) as connection:
            return get_execution(connection, execution_id)

    row = eventually(read, Status.SUCCESS)
    assert row.attempt == 1
    assert row.run_id == run_id
    run = instance.get_run_by_id(run_id)
    assert run is not None
