"""A worker's main process as its supervisor sees it: tasks in deaf children."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from jobu_core.clock import ManualClock
from jobu_core.config import WorkerSettings
from jobu_core.execution.supervisor import ActiveTask, Supervisor, WorkerIdentity
from jobu_core.runs import RunState
from tests.launch_support import VERSION, WORKER, Jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from jobu_core.models import Execution
    from tests.fix_runs import MemoryRuns
    from tests.fix_store_time import StoreTime

_DEAF = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


class Host:
    """A worker's main process as the supervisor sees it: tasks in deaf children."""

    def __init__(self, engine: Engine, runs: MemoryRuns, now: StoreTime, stack: ExitStack) -> None:
        """Start without children."""
        self.jobs = Jobs(engine)
        self.runs = runs
        self.now = now
        self.clock = ManualClock()
        self.tasks: list[ActiveTask] = []
        self.kills: list[tuple[int, int]] = []
        self._stack = stack
        self.supervisor = Supervisor(
            engine,
            WorkerSettings(),
            WorkerIdentity(WORKER, "host", os.getpid(), 2, VERSION),
            lambda: list(self.tasks),
            runs,
            clock=self.clock,
            kill=self.kill,
        )

    def kill(self, pid: int, number: int) -> None:
        """Send the signal and remember it."""
        self.kills.append((pid, number))
        os.kill(pid, number)

    def child(self) -> subprocess.Popen[bytes]:
        """Start a process that answers to nothing but SIGKILL."""
        child = self._stack.enter_context(
            subprocess.Popen([sys.executable, "-c", _DEAF], stdout=subprocess.PIPE),
        )
        self._stack.callback(child.kill)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        return child

    def executing(self, **values: Any) -> tuple[Execution, subprocess.Popen[bytes]]:  # noqa: ANN401 - any field
        """Return a RUNNING row and the child that has its run."""
        batch = self.jobs.queued(**values)
        run_id = self.runs.add(batch.token, RunState.STARTED)
        started = self.jobs.start(batch, run_id=run_id)
        assert started is not None
        child = self.child()
        self.tasks.append(ActiveTask(run_id, child.pid))
        return started, child

    def wait(self, seconds: float) -> None:
        """Let time pass for the database and the supervisor."""
        self.now.forward(seconds=seconds)
        self.clock.advance(seconds)

    def run_state(self, row: Execution) -> RunState:
        """Return the state of the run that executes ``row``."""
        assert row.run_id is not None
        return self.runs.known[row.run_id]


@pytest.fixture
def host(engine: Engine, runs: MemoryRuns, store_time: StoreTime) -> Iterator[Host]:
    """Return a worker without children; those that are started end with the test."""
    with ExitStack() as stack:
        yield Host(engine, runs, store_time, stack)
