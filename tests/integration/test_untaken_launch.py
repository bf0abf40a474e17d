"""A task that reached no worker: its sender died first, or the broker forgot it (rule 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.errors import StoreUnavailable
from jobu_core.models import Status
from jobu_core.runs import RunState

if TYPE_CHECKING:
    from jobu_core.models import LaunchBatch
    from tests.fix_world import World

LEASE = 30
GRACE = 30


def watch(world: World, seconds: int, *, slots: int = 2) -> None:
    """Look every five seconds, with a worker that lives all the time."""
    for _ in range(seconds // 5):
        world.jobs.worker(slots=slots)
        world.tick()
        world.wait(5)


def sent(world: World) -> tuple[LaunchBatch, str]:
    """Return a launch whose run says that its task was sent, and the run."""
    batch = world.jobs.queued()
    return batch, world.runs.add(batch.token, RunState.STARTING)


def test_a_task_that_no_free_slot_was_given_is_lost(world: World) -> None:
    """Uncounted, after a lease in which a slot stood free; its run is over."""
    batch, run_id = sent(world)
    watch(world, GRACE)
    assert world.status(batch.execution_ids[0]) is Status.QUEUED
    watch(world, 10)
    row = world.jobs.row(batch.execution_ids[0])
    assert (row.status, row.reason, row.launch_count) == (Status.PENDING, "launch_lost", 0)
    assert world.runs.known[run_id] is RunState.FAILURE


def test_a_task_waits_as_long_as_all_slots_are_taken(world: World) -> None:
    """Behind two that run for hours it is not lost, nor right after one of them ended."""
    first, second = world.jobs.running(run_id="one"), world.jobs.running(run_id="two")
    batch, _ = sent(world)
    for _ in range(12):
        for row in (first, second):
            world.jobs.change(row.id, heartbeat_at=world.now.now)
        watch(world, 5)
    world.jobs.change(first.id, status="SUCCESS", lease_token=None, finished_at=world.now.now)
    for _ in range(5):
        world.jobs.change(second.id, heartbeat_at=world.now.now)
        watch(world, 5)
    assert world.status(batch.execution_ids[0]) is Status.QUEUED


def test_a_task_waits_for_a_worker(world: World) -> None:
    """Without a live worker nobody could have taken it."""
    batch, _ = sent(world)
    world.wait(GRACE + LEASE)
    world.watch(600)
    assert world.status(batch.execution_ids[0]) is Status.QUEUED


def test_free_slots_of_other_code_take_nothing(world: World) -> None:
    """A draining worker has left the queue alone since it began to drain."""
    batch, _ = sent(world)
    for _ in range(20):
        world.jobs.worker(slots=0)
        world.jobs.worker("old:1", code_version="v0")
        world.jobs.worker("ending:1", draining=True)
        world.tick()
        world.wait(5)
    assert world.status(batch.execution_ids[0]) is Status.QUEUED


def test_a_look_that_failed_starts_the_lease_anew(world: World) -> None:
    """What was not seen is not concluded: an outage loses no launch."""
    batch, _ = sent(world)
    watch(world, GRACE)
    world.runs.outage = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        world.tick()
    world.runs.outage = None
    watch(world, LEASE)
    assert world.status(batch.execution_ids[0]) is Status.QUEUED
    watch(world, 10)
    assert world.status(batch.execution_ids[0]) is Status.PENDING
