"""Real warm workers on a project, and a driver that launches and reconciles meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from jobu_core.models import Execution, NewExecution, ParamSource, Trigger
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution, insert_executions
from jobu_dagster.launching import claim
from jobu_dagster.private import open_instance
from jobu_dagster.process import Process
from jobu_dagster.process import process as shared_process
from jobu_dagster.runs import DagsterRunGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from dagster import DagsterInstance

HANDLERS = '''
"""Handlers of the tests: slow, stuck, and counting."""

import ctypes
import pathlib
import time

from pydantic import BaseModel

from jobu_core.handlers.base import Retry, handler


class Nap(BaseModel):
    seconds: float = 60.0
    first_attempt_only: bool = False
    stuck: bool = False
    marks: str = ""


@handler("nap")
def nap(context, params: Nap):
    if params.marks:
        with pathlib.Path(params.marks).open("a") as marks:
            marks.write(f"{context.execution_id}:{context.attempt}\\n")
    if params.first_attempt_only and context.attempt > 1:
        return {"attempt": context.attempt}
    if params.stuck:
        ctypes.PyDLL(None).sleep(int(params.seconds))
    else:
        time.sleep(params.seconds)
    return {"attempt": context.attempt}


class Never(BaseModel):
    pass


@handler("never")
def never(context, params: Never):
    raise Retry(after=0)
'''


@dataclass
class Carrier:
    """Plays the long-lived dispatcher's part: reconcile, claim, launch, until something holds."""

    process: Process
    root: Path
    instance: DagsterInstance = field(init=False)

    def __post_init__(self) -> None:
        """Open Dagster on the project."""
        self.instance = open_instance(self.root)
        self.gateway = DagsterRunGateway(self.instance, self.root, self.process.runtime().registry)
        self.engine = self.process.runtime().engine

    def insert(
        self,
        handler: str,
        params: Mapping[str, object],
        *,
        max_attempts: int = 4,
        timeout_seconds: int = 3600,
        retry_backoff_seconds: int = 10,
    ) -> int:
        """Insert one PENDING event row."""
        new = NewExecution(
            handler,
            params,
            ParamSource.EVENT,
            Trigger.EVENT,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            retry_backoff_seconds=retry_backoff_seconds,
        )
        with transaction(self.engine) as connection:
            (made,) = insert_executions(connection, [new])
        assert made is not None
        return made

    def row(self, execution_id: int) -> Execution:
        """Return the row as it is now."""
        with transaction(self.engine) as connection:
            return get_execution(connection, execution_id)

    def drive(
        self,
        execution_id: int,
        holds: Callable[[Execution], bool],
        seconds: float = 60,
    ) -> Execution:
        """Reconcile and launch until ``holds`` of the row; fail with the row otherwise."""
        deadline = time.monotonic() + seconds
        reconciler = self.process.reconciler(self.instance)
        while time.monotonic() < deadline:
            reconciler.tick()
            for batch in claim(self.process.runtime()).batches:
                self.gateway.launch(batch)
            row = self.row(execution_id)
            if holds(row):
                return row
        pytest.fail(f"it never came true; the row is {self.row(execution_id)}")


class Workers:
    """Starts and ends worker processes of one project."""

    def __init__(self, root: Path) -> None:
        """Start none yet."""
        self._root = root
        self._stack = ExitStack()
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *program: str) -> subprocess.Popen[bytes]:
        """Start one worker with two slots, in a process group of its own.

        ``program``: the module to run it with, and its own arguments; Celery's by default.
        """
        log = self._stack.enter_context((self._root / "worker.log").open("ab"))
        started = subprocess.Popen(
            [
                *(sys.executable, "-m", *(program or ("celery",))),
                *("-A", "jobu_dagster.worker", "worker"),
                *("--concurrency=2", "--queues=dagster", "--loglevel=WARNING"),
                *(f"--hostname=w{len(self.running)}-{os.getpid()}@%h",),
            ],
            cwd=self._root,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.running.append(started)
        return started

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill -9 the main process and its children."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(timeout=10)

    def close(self) -> None:
        """End every worker that still runs."""
        for worker in self.running:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.running:
            try:
                worker.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill(worker)
        self._stack.close()


@pytest.fixture
def napping_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with slow handlers, short leases and quick retries."""
    (project / "napping_jobs.py").write_text(HANDLERS)
    sys.modules.pop("napping_jobs", None)  # an earlier project's, whose file may be gone
    monkeypatch.setenv("JOBU_HANDLERS__MODULES", '["napping_jobs"]')
    monkeypatch.setenv("JOBU_WORKER__HEARTBEAT_SECONDS", "0.5")
    monkeypatch.setenv("JOBU_WORKER__LEASE_SECONDS", "3")
    monkeypatch.setenv("JOBU_WORKER__CANCEL_POLL_SECONDS", "0.3")
    monkeypatch.setenv("JOBU_WORKER__CANCEL_GRACE_SECONDS", "1")
    monkeypatch.setenv("JOBU_DISPATCHER__LAUNCH__LAUNCH_GRACE_SECONDS", "5")
    monkeypatch.syspath_prepend(str(project))
    return project


@pytest.fixture
def workers(napping_project: Path) -> Iterator[Workers]:
    """Return a starter of workers; all are ended with the test."""
    started = Workers(napping_project)
    yield started
    started.close()


@pytest.fixture
def carrier(napping_project: Path) -> Iterator[Carrier]:
    """Return a driver on the project's own store and Dagster.

    What launcher and coordinator share in this process is opened anew: it may be an
    earlier test's, whose store is gone.
    """
    shared_process().close()
    process = Process()
    yield Carrier(process, napping_project)
    process.close()
    shared_process().close()
