"""Bringing a simulation to rest: no more faults, everybody works, until nothing is left to do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from jobu_core.dispatcher.cron.edit import set_enabled
from tests.crash.audit import unsettled, violations
from tests.simulation.hosts import Worker
from tests.simulation.invariants import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.world import World

MOST_TURNS: Final = 6000
MOST_QUIET_TURNS: Final = 300
"""Turns in a row that move no row: nothing will ever move again."""
LONGEST_PAUSE_SECONDS: Final = 40.0
_BUSY_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 8.0
"""Well below a lease, so that nobody looks dead who is only waiting."""


def settle(world: World) -> None:
    """Heal everything and let it run until it rests; report what never does."""
    heal(world)
    quiet = 0
    for number in range(MOST_TURNS):
        before = world.invariants.moves
        turn(world, number)
        quiet = quiet + 1 if world.invariants.moves == before else 0
        if is_at_rest(world) or quiet > MOST_QUIET_TURNS:
            break
        world.advance(_IDLE_SECONDS if quiet else _BUSY_SECONDS)
        due = world.store.next_due()
        if due is not None and due > LONGEST_PAUSE_SECONDS:
            world.store.seconds += due  # it waits for a time before somebody set the clock back
    for problem in (*stuck(world), *_audited(world)):
        world.report(f"at rest: {problem}")
    world.after()


def heal(world: World) -> None:
    """End every fault, let whatever was paused go on, and switch all cron jobs off."""
    world.store.is_down = False
    world.broker.set_down(down=False)
    world.locks.excludes = True
    for worker in world.workers:
        worker.frozen_until = 0.0
    go_on(world)
    for name in _job_names(world):
        settings = world.settings.dispatcher
        engine, registry = world.store.engine, world.registry
        set_enabled(engine, registry, settings, name, enabled=False, who="simulation")
    if not world.workers:
        world.workers.append(Worker(world, world.next_pid()))
    world.after()


def turn(world: World, number: int) -> None:
    """Let every process do once what it does all the time; the two reconcilers take turns."""
    daemon, dispatcher, carrier = world.daemon, world.dispatcher, world.carrier
    for worker in list(world.workers):
        world.supervise(worker)
    host = (daemon, dispatcher)[number % 2]
    world.run(host.process, "reconcile", host.reconcile)
    world.run(dispatcher.process, "events", dispatcher.events_for_long)
    for batch in list(carrier.unsubmitted):
        world.run(daemon.process, "resume", partial(carrier.make_good, batch))
    world.run(daemon.process, "dequeue", carrier.dequeue)
    world.run(daemon.process, "monitor", carrier.monitor)
    for worker in list(world.workers):
        for child in worker.children:
            if carrier.tasks and child.run_id is None:
                world.run(child.process, "work", partial(worker.take_task, child))
    go_on(world)


def go_on(world: World) -> None:
    """Resume every actor that does not sleep, once."""
    for actor in list(world.stage.actors):
        if actor in world.stage.actors and world.seconds >= actor.wakes_at:
            world.stage.resume(actor)
            world.after()


def is_at_rest(world: World) -> bool:
    """Whether there is nothing left to do anywhere."""
    return not (world.carrier.tasks or world.carrier.queue or world.stage.actors) and not any(
        True for _ in stuck(world)
    )


def stuck(world: World) -> Sequence[str]:
    """Say what is still to be done."""
    waiting = [f"message {at} was never read" for at in world.expected if not _is_read(world, at)]
    rows = world.invariants.rows.values()
    left = [f"{row['id']} {row['status']}" for row in rows if row["status"] in UNFINISHED]
    return [*waiting, *(f"execution {row}" for row in left)]


def _audited(world: World) -> Sequence[str]:
    """Ask the audit that every crash test ends with, too."""
    with world.store.engine.begin() as connection:
        return [*violations(connection), *unsettled(connection)]


def _is_read(world: World, at: tuple[int, int]) -> bool:
    return any((g, *at) in world.invariants.messages for g in range(1, 3))


def _job_names(world: World) -> list[str]:
    return [row[0] for row in world.store.ask("SELECT name FROM cron_jobs ORDER BY id")]
