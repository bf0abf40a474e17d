"""A worker's supervisor with its connection cut at every message (rules 12 and 13)."""

from __future__ import annotations

import itertools
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jobu_core.execution.cancel import cancel_execution
from jobu_core.execution.supervisor import ActiveTask
from jobu_core.models import Status
from jobu_core.runs import RunState
from jobu_core.store import transitions, workers
from jobu_core.store.engine import open_engine, transaction
from tests.fix_host import Host
from tests.launch_support import Jobs, fence_of
from tests.outage.sweep import cut_everywhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from jobu_core.models import Execution
    from tests.fix_proxy import Proxy
    from tests.fix_runs import MemoryRuns
    from tests.fix_store_time import StoreTime

_pids = itertools.count(10_000_000)  # more than a pid can be: a slip hits nobody


class CutHost(Host):
    """The worker's main process behind the proxy, with children that exist in name only."""

    def kill(self, pid: int, number: int) -> None:
        """Remember the signal; SIGKILL takes the child's task with it."""
        self.kills.append((pid, number))
        if number == signal.SIGKILL:
            self.tasks = [task for task in self.tasks if task.pid != pid]

    def take(self, sound: Jobs, **values: Any) -> tuple[Execution, int]:  # noqa: ANN401 - any field of NewExecution
        """Return a RUNNING row and the pid of the child that has its run."""
        run_id = self.runs.add(None, RunState.STARTED)
        row, pid = sound.running(run_id=run_id, **values), next(_pids)
        self.tasks.append(ActiveTask(run_id, pid))
        return row, pid


@pytest.fixture
def cut_host(
    proxy: Proxy,
    database_url: str,
    runs: MemoryRuns,
    store_time: StoreTime,
) -> Iterator[CutHost]:
    """Return a worker without children whose job store is behind the proxy."""
    opened = open_engine(proxy.url(database_url))
    sa.event.listen(opened, "begin", store_time.apply)
    with ExitStack() as stack:
        yield CutHost(opened, runs, store_time, stack)
    opened.dispose()


@pytest.mark.rule(12)
def test_a_heartbeat_that_is_cut_is_made_up_for(
    engine: Engine,
    cut_host: CutHost,
    proxy: Proxy,
) -> None:
    """At the next pass rows and worker are fresh again, and nobody was killed meanwhile."""
    sound = Jobs(engine)
    row, _ = cut_host.take(sound)

    def act() -> None:
        cut_host.wait(5)
        cut_host.supervisor.step()

    def settle() -> None:
        cut_host.supervisor.step()
        assert sound.row(row.id).heartbeat_at == cut_host.now.now
        with transaction(engine) as connection:
            heard = {worker.id: worker.heartbeat_at for worker in workers.list_workers(connection)}
        assert heard[cut_host.supervisor.identity.id] == cut_host.now.now
        assert cut_host.kills == []

    assert cut_everywhere(proxy, act, settle) > 10


@pytest.mark.rule(12, 13)
@pytest.mark.parametrize("end", ["deadline", "cancel", "lost"])
def test_what_the_supervisor_ends_is_ended_wherever_it_is_cut(
    engine: Engine,
    cut_host: CutHost,
    proxy: Proxy,
    end: str,
) -> None:
    """The row's end is written once, the child is killed, the run reported: the pool heals."""
    sound = Jobs(engine)
    ended = {"deadline": Status.TIMEOUT, "cancel": Status.CANCELED, "lost": Status.FAILED}[end]
    taken: list[tuple[Execution, int]] = []

    def arrange() -> None:
        row, pid = cut_host.take(sound, max_attempts=1, timeout_seconds=60)
        taken.append((row, pid))
        if end == "cancel":
            cancel_execution(engine, row.id, who="anna", reason="enough")
        if end == "lost":
            cut_host.tasks.clear()
        cut_host.supervisor.step()
        cut_host.wait(60 if end == "deadline" else 2)

    def settle() -> None:
        row, pid = taken[-1]
        for _ in range(3):
            cut_host.wait(1)
            cut_host.supervisor.step()
        assert sound.row(row.id).status is ended
        assert cut_host.tasks == []
        assert ((pid, signal.SIGKILL) in cut_host.kills) is (end != "lost")
        wanted = RunState.CANCELED if end == "cancel" else RunState.FAILURE
        assert cut_host.run_state(row) is wanted

    assert cut_everywhere(proxy, cut_host.supervisor.step, settle, arrange) > 15


@pytest.mark.rule(12)
def test_a_child_whose_row_was_settled_elsewhere_is_ended(host: Host) -> None:
    """The reconciler timed the row out while this host was away; its child hangs on."""
    row, child = host.executing(max_attempts=1)
    host.supervisor.step()
    with transaction(host.jobs.engine) as connection:
        transitions.finish(connection, fence_of(row), Status.TIMEOUT, reason="timeout")
    host.supervisor.step()
    host.wait(29)
    host.supervisor.step()
    assert host.kills == [], "a run that ended by itself has time to say so"
    host.wait(1)
    host.supervisor.step()
    assert child.wait(timeout=10) == -signal.SIGKILL
    assert host.run_state(row) is RunState.FAILURE


@pytest.mark.rule(12)
def test_a_run_that_goes_on_with_its_next_row_is_left_alone(host: Host) -> None:
    """A launch of several rows is between two of them, or has many; its child lives."""
    row, _ = host.executing()
    sibling = host.jobs.add()
    token, worker = row.lease_token, row.worker_id
    host.jobs.change(sibling, status="QUEUED", lease_token=token, worker_id=worker)
    host.jobs.change(sibling, run_id=row.run_id)
    host.supervisor.step()
    with transaction(host.jobs.engine) as connection:
        transitions.finish(connection, fence_of(row), Status.SUCCESS)
    for _ in range(3):
        host.wait(30)
        host.supervisor.step()
    assert host.kills == []
