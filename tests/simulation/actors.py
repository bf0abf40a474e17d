"""Actors: the activities of simulated processes, one at a time, each paused wherever we like.

An actor is a greenlet, so that one thread runs them all and a seed decides
everything. Product code reaches ``Stage.point`` through the hooks of the simulated
store, carrier and broker: there an actor may stop for a while, or for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import greenlet  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable

WHOLE: Final = 1_000_000
"""As many pauses as no activity has: run it to its end."""


class Died(BaseException):
    """The process ended at this line; nothing of it may act on the world again."""


@dataclass
class Process:
    """What dies together: its memory is gone, and every actor in it with it."""

    name: str
    started_at: float
    is_alive: bool = True
    failed_look_at: float = float("-inf")
    """When its reconciler last could not see."""


@dataclass
class Actor:
    """One activity of a process; ``name`` says which kind."""

    name: str
    process: Process
    number: int
    started_at: float
    failed_look_at: float = float("-inf")
    """When its process could last not see, before this began."""
    pauses: int = 0
    """How many points it may still pass before it is paused."""
    counts: str = ""
    """Only points whose names begin so are counted for that."""
    dies_in: int | None = None
    """Its process dies at the so many-th point from here."""
    cuts_in: int | None = None
    """Its connection is cut at the so many-th commit from here."""
    cut_is_committed: bool = False
    in_transaction: bool = False
    owns: str = ""
    """The attempt it executes, as ``execution/token/attempt``."""
    wakes_at: float = 0.0
    is_doomed: bool = False
    _thread: Any = None

    @property
    def label(self) -> str:
        """Name of process and activity, with a number that no other has."""
        return f"{self.process.name}.{self.name}#{self.number}"


@dataclass
class Stage:
    """Runs actors; the caller is whoever steps the world."""

    now: Callable[[], float]
    actors: list[Actor] = field(default_factory=list)
    died: list[Process] = field(default_factory=list)
    """Processes that ended by an actor's death, for the world to bury."""
    seen: dict[str, Actor] = field(default_factory=dict)
    """Every actor there was, by label; history names who changed what."""
    _current: Actor | None = None
    _count: int = 0

    @property
    def current(self) -> Actor | None:
        """The actor whose code runs now; None: the simulation itself."""
        return self._current

    def start(
        self,
        process: Process,
        name: str,
        body: Callable[[], None],
        *,
        pauses: int = WHOLE,
        counts: str = "",
        dies_in: int | None = None,
        cuts_in: int | None = None,
        cut_is_committed: bool = False,
    ) -> Actor:
        """Begin an activity and run it to its end, or until it has passed so many points."""
        self._count += 1
        actor = Actor(
            name,
            process,
            self._count,
            self.now(),
            process.failed_look_at,
            counts=counts,
            dies_in=dies_in,
            cuts_in=cuts_in,
            cut_is_committed=cut_is_committed,
        )
        actor._thread = greenlet.greenlet(lambda: self._run(actor, body))
        self.actors.append(actor)
        self.seen[actor.label] = actor
        self.resume(actor, pauses)
        return actor

    def resume(self, actor: Actor, pauses: int = WHOLE) -> None:
        """Let a paused actor go on, unless it sleeps."""
        if self._current is not None:
            msg = "an actor cannot run another one"
            raise RuntimeError(msg)
        if actor.is_doomed or self.now() >= actor.wakes_at:
            actor.pauses = pauses
            self._switch(actor)

    def kill(self, process: Process) -> None:
        """End a process: whatever of it is paused never goes on."""
        process.is_alive = False
        for actor in self.actors:
            if actor.process is process:
                actor.is_doomed = True

    def bury(self) -> None:
        """Unwind what was killed, so that its connections are dropped."""
        while doomed := [actor for actor in self.actors if actor.is_doomed]:
            self._switch(doomed[0])

    def point(self, where: str) -> None:
        """Pass a place between two effects: die here, pause here, or go on."""
        actor = self._current
        if actor is None:
            return
        self._die_if_due(actor, where)
        if not where.startswith(actor.counts):
            return
        if actor.pauses <= 0 and not actor.in_transaction:
            self._leave_to_the_world()
            self._die_if_due(actor, where)
        actor.pauses -= 1

    def sleep(self, seconds: float) -> None:
        """Wait on the virtual clock; only an actor can."""
        actor = self._current
        if actor is None:
            msg = "the simulation itself does not sleep"
            raise RuntimeError(msg)
        actor.wakes_at = self.now() + max(0.0, seconds)
        self._leave_to_the_world()
        self._die_if_due(actor, "sleep")

    def cut_now(self) -> bool:
        """Whether this commit is the one at which the actor's connection is cut."""
        actor = self._current
        if actor is None or actor.cuts_in is None:
            return False
        actor.cuts_in -= 1
        if actor.cuts_in > 0:
            return False
        actor.cuts_in = None
        return True

    def _die_if_due(self, actor: Actor, where: str) -> None:
        if actor.dies_in is not None:
            actor.dies_in -= 1
            if actor.dies_in <= 0:
                self.kill(actor.process)
        if actor.is_doomed:
            raise Died(f"{actor.label} at {where}")

    def _run(self, actor: Actor, body: Callable[[], None]) -> None:
        try:
            body()
        except Died:
            if actor.process not in self.died:
                self.died.append(actor.process)
        finally:
            self.actors.remove(actor)

    def _leave_to_the_world(self) -> None:
        greenlet.getcurrent().parent.switch()

    def _switch(self, actor: Actor) -> None:
        self._current = actor
        try:
            actor._thread.switch()
        finally:
            self._current = None
