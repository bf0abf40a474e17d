"""Everything that can happen to a simulated installation, as steps that are always possible.

A step is a name and small numbers, taken modulo whatever there is to choose from:
so any list of steps can be run, shortened and run again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jobu_core.dispatcher.cron.edit import add_job, delete_job, edit_job, set_enabled
from jobu_core.dispatcher.cron.manual import run_now
from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.dead_letters import discard, redrive
from jobu_core.execution.cancel import cancel_execution
from jobu_core.execution.retry import retry_execution
from tests.simulation import rest
from tests.simulation.actors import WHOLE
from tests.simulation.hosts import Worker
from tests.simulation.occurrences import MEANING
from tests.simulation.work import NAMES, behaviour

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.world import World

TOPIC: Final = "jobu-events"
WAITS: Final = (0.5, 1.0, 1.0, 2.0, 2.0, 5.0, 5.0, 10.0, 10.0, 35.0)
"""Seconds that may pass in one step."""

JUMPS: Final = (-900, -100, -30, -3, 3, 30, 100, 900)
"""Seconds by which the server's clock may be set."""

EXPRESSIONS: Final = tuple(MEANING)
OVERLAPS: Final = ("skip", "allow", "queue_one", "queue_all", "replace")
MISFIRES: Final = ("latest", "all", "none")
MOST_JOBS: Final = 4

BAD: Final = (
    b"{",
    b'{"handler_name": "nobody", "params": {}}',
    b'{"job_id": 987654321}',
    b'{"handler_name": "echo", "params": {"a": "\\u0000"}}',
)
"""Messages that must become dead letters."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what, on which, how."""

    name: str
    which: int = 0
    how: int = 0

    def __str__(self) -> str:
        """Write it as the code that makes it."""
        return f'Step("{self.name}", {self.which}, {self.how})'


def take(world: World, step: Step) -> None:
    """Do one step and look at what became of the rows; raises Violation."""
    STEPS[step.name](world, step.which, step.how)
    world.after()


def _fault(how: int) -> dict[str, Any]:
    """Turn a number into how an activity goes: most often whole, else paused, dead or cut."""
    kind, many = how % 8, how // 8 % 30
    if kind == 4:
        return {"pauses": many}
    if kind == 5:
        return {"pauses": many % 6, "counts": "carrier"}
    if kind == 6:
        return {"dies_in": 1 + many}
    if kind == 7:
        return {"cuts_in": 1 + many % 4, "cut_is_committed": how // 32 % 2 == 0}
    return {}


def tick(world: World, which: int, how: int) -> None:
    """Let one activity of a dispatcher begin."""
    daemon, dispatcher, carrier = world.daemon, world.dispatcher, world.carrier
    handler = NAMES[how // 3 % len(NAMES)]
    activities: Sequence[tuple[Any, str, Callable[[], None]]] = (
        (daemon, f"cron_{handler}", partial(daemon.cron, handler)),
        (daemon, "events", daemon.events),
        (daemon, "reconcile", daemon.reconcile),
        (daemon, "dequeue", carrier.dequeue),
        (daemon, "dequeue", carrier.dequeue),
        (daemon, "monitor", carrier.monitor),
        (dispatcher, "events", dispatcher.events_for_long),
        (dispatcher, "events", dispatcher.events_for_long),
        (dispatcher, "reconcile", dispatcher.reconcile),
    )
    host, name, body = activities[which % len(activities)]
    world.run(host.process, name, body, **_fault(how))


def turn(world: World, which: int, how: int) -> None:
    """Let everybody do once what they do all the time."""
    del how
    rest.turn(world, which)


def stall(world: World, which: int, how: int) -> None:
    """Let a launch stall: its run is made, or not even that, and not yet on its way."""
    del how
    daemon, dispatcher = world.daemon, world.dispatcher
    host, body, where = (
        (dispatcher, dispatcher.events_for_long, "carrier: launch.created"),
        (daemon, daemon.events, "carrier: daemon.created"),
    )[which % 2]
    world.run(host.process, "events", body, pauses=0, counts=where)


def resume_tick(world: World, which: int, how: int) -> None:
    """Let the daemon make good on what a tick had asked for when it died."""
    carrier = world.carrier
    if carrier.unsubmitted:
        batch = carrier.unsubmitted[which % len(carrier.unsubmitted)]
        body = partial(carrier.make_good, batch)
        world.run(world.daemon.process, "resume", body, **_fault(how))


def supervise(world: World, which: int, how: int) -> None:
    """Let one worker's supervisor look once; its death ends the worker."""
    if world.workers:
        world.supervise(world.workers[which % len(world.workers)], **_fault(how))


def freeze(world: World, which: int, how: int) -> None:
    """Keep one worker's supervisor from running, while its children work on."""
    if world.workers:
        worker = world.workers[which % len(world.workers)]
        worker.frozen_until = world.seconds + 20 + how % 60


def work(world: World, which: int, how: int) -> None:
    """Let an idle child take the next task."""
    idle = [
        (worker, child)
        for worker in world.workers
        for child in worker.children
        if child.run_id is None and child.process.is_alive
    ]
    if idle and world.carrier.tasks:
        worker, child = idle[which % len(idle)]
        world.run(child.process, "work", partial(worker.take_task, child), **_fault(how))


def go_on(world: World, which: int, how: int) -> None:
    """Let a paused or sleeping actor go on."""
    ready = [actor for actor in world.stage.actors if world.seconds >= actor.wakes_at]
    if ready:
        actor = ready[which % len(ready)]
        world.stage.resume(actor, how // 8 % 9 if how % 8 > 5 else WHOLE)


def wait(world: World, which: int, how: int) -> None:
    """Let time pass."""
    del how
    world.advance(WAITS[which % len(WAITS)])


def jump(world: World, which: int, how: int) -> None:
    """Set the server's clock; no process's own clock notices."""
    del how
    world.store.seconds += JUMPS[which % len(JUMPS)]


def kill(world: World, which: int, how: int) -> None:
    """Kill a whole process with -9."""
    victims = [world.daemon.process, world.dispatcher.process]
    victims += [worker.process for worker in world.workers]
    victims += [child.process for worker in world.workers for child in worker.children]
    del how
    world.stage.kill(victims[which % len(victims)])


def staff(world: World, which: int, how: int) -> None:
    """Start another worker, or shut one down in an orderly way."""
    if len(world.workers) < 2:
        world.workers.append(Worker(world, world.next_pid()))
        return
    worker = world.workers[which % len(world.workers)]

    def leave() -> None:
        try:
            worker.supervisor.hand_back()
        finally:  # the main process ends, whether or not the store took the rows back
            world.stage.kill(worker.process)

    world.run(worker.process, "hand_back", leave, **_fault(how))


def outage(world: World, which: int, how: int) -> None:
    """Take the job store or the broker away, or bring both back; or lose a queue or a lock."""
    del how
    match which % 10:
        case 0 | 1:
            world.store.is_down = True
        case 2:
            world.broker.set_down(down=True)
        case 3:
            world.carrier.tasks.clear()
        case 4:
            world.locks.excludes = not world.locks.excludes
        case _:
            world.store.is_down = False
            world.broker.set_down(down=False)


def rewind(world: World, which: int, how: int) -> None:
    """Set the sequence of execution ids back, as after a restored backup."""
    del how
    world.store.rewind_ids(1 + which % 3)


def send(world: World, which: int, how: int) -> None:
    """Put messages on the topic: mostly good ones."""
    if world.broker.is_down:
        return
    adapter = world.adapter()
    for number in range(1 + how % 3):
        partition = (which + number) % 2
        good = (which // 2 + number) % 6 != 5
        body = {"handler_name": NAMES[number % 2], "params": behaviour(which // 3 + number)}
        value = json.dumps(body).encode() if good else BAD[which % len(BAD)]
        ((_, offset),) = adapter.publish(TOPIC, [OutgoingMessage(value, partition=partition)])
        world.expected[partition, offset] = "execution" if good else "dead_letter"


def person(world: World, which: int, how: int) -> None:
    """Let somebody use the command line."""
    actions = (_cancel, _retry, _run_now, _redrive, _discard, _cancel)
    action = actions[which % len(actions)]
    body = partial(action, world, which // len(actions))
    world.run(world.people, action.__name__, body, **_fault(how))


def cron(world: World, which: int, how: int) -> None:
    """Let somebody add, edit, switch or delete a cron job."""
    names = [row[0] for row in world.store.ask("SELECT name FROM cron_jobs ORDER BY id")]
    body = partial(_change_cron, world, names, which)
    world.run(world.people, "cron", body, **_fault(how))


def ui(world: World, which: int, how: int) -> None:
    """Let somebody terminate a run in the UI, or start one from the Launchpad."""
    carrier = world.carrier
    runs = [run for run in carrier.runs.values() if run.state in {"QUEUED", "STARTED"}]
    if runs and which % 4:
        body = partial(carrier.terminate, runs[which % len(runs)])
        world.run(world.web, "terminate", body, **_fault(how))
    else:
        carrier.make_by_hand(behaviour(which // 4))


def _cancel(world: World, which: int) -> None:
    ids = _rows(world, ended=False)
    if ids:
        chosen = ids[which % len(ids)]
        cancel_execution(world.store.engine, chosen, who="simulation", reason="asked")


def _retry(world: World, which: int) -> None:
    ids = _rows(world, ended=True)
    if ids:
        retry_execution(world.store.engine, ids[-1 - which % len(ids)], who="simulation")


def _rows(world: World, *, ended: bool) -> list[int]:
    kept = (
        ("SUCCESS", "FAILED", "TIMEOUT", "CANCELED")
        if ended
        else (*("PENDING", "QUEUED", "RUNNING"),)
    )
    rows = world.invariants.rows
    return [row_id for row_id, row in rows.items() if row["status"] in kept][-20:]


def _run_now(world: World, which: int) -> None:
    jobs = world.store.ask("SELECT name FROM cron_jobs ORDER BY id")
    if jobs:
        name = jobs[which % len(jobs)][0]
        run_now(world.store.engine, world.registry, name, who="simulation")


def _redrive(world: World, which: int) -> None:
    letters = world.store.ask('SELECT id FROM dead_letters ORDER BY partition, "offset"')
    if letters:
        body = {"handler_name": NAMES[0], "params": behaviour(which)}
        redrive(
            world.store.engine,
            world.registry,
            world.settings,
            letters[which % len(letters)][0],
            edited_payload=json.dumps(body).encode() if which % 2 else None,
            who="simulation",
        )


def _discard(world: World, which: int) -> None:
    letters = world.store.ask('SELECT id FROM dead_letters ORDER BY partition, "offset"')
    if letters:
        discard(world.store.engine, letters[which % len(letters)][0], who="simulation")


def _change_cron(world: World, names: Sequence[str], which: int) -> None:
    engine, registry, settings = world.store.engine, world.registry, world.settings.dispatcher
    number = which // 5
    if not names or (which % 5 == 0 and len(names) < MOST_JOBS):
        values = {
            "name": f"job{world.stage.current.number if world.stage.current else 0}",
            "cron_expression": EXPRESSIONS[number % len(EXPRESSIONS)],
            "handler_name": NAMES[number % len(NAMES)],
            "handler_params": behaviour(number),
            "overlap_policy": OVERLAPS[number % len(OVERLAPS)],
            "misfire_policy": MISFIRES[number % len(MISFIRES)],
            "max_retry": number % 3,
            "retry_backoff_seconds": 3,
            "timeout_seconds": 20 + 25 * (number % 3),
        }
        add_job(engine, registry, settings, values, who="simulation")
        return
    name = names[number % len(names)]
    match which % 5:
        case 1:
            changes = {"cron_expression": EXPRESSIONS[number // 4 % len(EXPRESSIONS)]}
            edit_job(engine, registry, settings, name, changes, who="simulation")
        case 2:
            set_enabled(engine, registry, settings, name, enabled=False, who="simulation")
        case 3:
            set_enabled(engine, registry, settings, name, enabled=True, who="simulation")
        case 4 if number % 7 == 0:
            delete_job(engine, name, who="simulation")
        case _:
            changes = {"overlap_policy": OVERLAPS[number // 4 % len(OVERLAPS)]}
            edit_job(engine, registry, settings, name, changes, who="simulation")


STEPS: Final[dict[str, Callable[[World, int, int], None]]] = {
    step.__name__: step
    for step in (
        *(
            tick,
            turn,
            stall,
            resume_tick,
            supervise,
            freeze,
            work,
            go_on,
            wait,
            jump,
            kill,
            staff,
            outage,
        ),
        *(rewind, send, person, cron, ui),
    )
}
"""Name → step."""
