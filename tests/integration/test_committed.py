"""A worker that dies after its load was committed: the manifest makes it a SUCCESS (rule 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobu_core.errors import TargetUnavailable
from jobu_core.handlers.base import Declarations, Identity
from jobu_core.models import Status
from jobu_core.runs import RunState
from tests.load_bench import INSTALLATION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fix_host import Host
    from tests.fix_world import World
    from tests.handler_bench import Project

LEASE = 30.0
LOADED = {"rows": 100, "reason": "already_loaded"}


def identity(project: Project, root_execution_id: int) -> Identity:
    """Return who asks, in the project's own store."""
    registry = project.registry
    declared = Declarations(registry.datasets, registry.models, registry.free_tables)
    return Identity(root_execution_id, INSTALLATION, {"default": project.bench.url}, declared)


def ask(project: Project, handler: str, params: Mapping[str, Any], root: int) -> Any:  # noqa: ANN401 - JSON
    """Ask a handler what the execution ``root`` has committed."""
    parsed = project.registry.parse(handler, params)
    return project.registry.get(handler).committed(parsed, identity(project, root))


def test_the_manifest_answers_for_the_execution_that_loaded(data_project: Project) -> None:
    """Its counts come back; another execution, and one before any load, has nothing."""
    params = {"dataset": "sample"}
    assert ask(data_project, "pipeline", params, 1) is None
    data_project.run("pipeline", params, execution_id=1)
    found = ask(data_project, "pipeline", params, 1)
    assert (found["rows"], found["reason"]) == (100, "already_loaded")
    assert ask(data_project, "pipeline", params, 2) is None
    assert ask(data_project, "sample_handler", {}, 1) is None


def lost_last_attempt(world: World) -> int:
    """Return a row whose only attempt is in the hands of a worker that is dead."""
    batch = world.jobs.queued(max_attempts=1)
    run_id = world.runs.add(batch.token, RunState.STARTED)
    started = world.jobs.start(batch, run_id=run_id)
    assert started is not None
    return started.id


def test_reconciler_believes_the_manifest_before_it_fails_a_row(world: World) -> None:
    """No attempt left, but the load is there: SUCCESS with its counts."""
    world.reconciler.committed = lambda _id: LOADED
    row_id = lost_last_attempt(world)
    world.watch(LEASE)
    row = world.jobs.row(row_id)
    assert (row.status, row.reason, row.result) == (Status.SUCCESS, "already_committed", LOADED)


def test_reconciler_decides_nothing_while_the_target_is_away(world: World) -> None:
    """An outage of the target is not the row's fault: it is asked again later."""

    def away(_id: int) -> None:
        raise TargetUnavailable("no answer")

    world.reconciler.committed = away
    row_id = lost_last_attempt(world)
    world.watch(LEASE)
    assert world.status(row_id) is Status.RUNNING
    world.reconciler.committed = lambda _id: None
    world.watch(LEASE)
    assert world.status(row_id) is Status.FAILED


def test_supervisor_believes_the_manifest_too(host: Host) -> None:
    """Its child died in the last attempt, after the commit."""
    host.supervisor.committed = lambda _id: LOADED
    row, child = host.executing(max_attempts=1)
    child.kill()
    child.wait()
    host.tasks.clear()
    for _ in range(2):
        host.wait(1)
        host.supervisor.step()
    after = host.jobs.row(row.id)
    assert (after.status, after.reason) == (Status.SUCCESS, "already_committed")
