"""Long simulations by a seed: thousands of steps, and a violation that can be replayed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.simulation.rest import settle
from tests.simulation.steps import Step, take
from tests.simulation.world import Violation, World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.simulation.store import SimulatedStore

WEIGHTS: Final[Mapping[str, int]] = {
    "tick": 30,
    "turn": 3,
    "work": 10,
    "go_on": 25,
    "supervise": 14,
    "wait": 16,
    "send": 5,
    "cron": 3,
    "person": 3,
    "ui": 1,
    "stall": 1,
    "resume_tick": 2,
    "kill": 1,
    "freeze": 1,
    "staff": 1,
    "outage": 2,
    "jump": 1,
    "rewind": 1,
}
"""How often each step is chosen, in relation to the others."""

SHOWN_STEPS: Final = 25
_LARGEST: Final = 10_000


@dataclass
class Simulation:
    """One seed's world; ``taken`` are the steps so far."""

    store: SimulatedStore
    root: Path
    seed: int
    weights: Mapping[str, int] = field(default_factory=lambda: WEIGHTS)
    taken: list[Step] = field(default_factory=list)

    def run(self, steps: int) -> World:
        """Take so many random steps, then let the world come to rest and audit it."""
        return self.replay(self.steps(steps), settle)

    def explore(self, steps: int) -> World:
        """Take so many random steps and leave it at that."""
        return self.replay(self.steps(steps), World.after)

    def steps(self, count: int) -> list[Step]:
        """Return the first ``count`` steps of this seed."""
        chosen = random.Random(self.seed)  # noqa: S311 - a seed is the point
        names, weights = list(self.weights), list(self.weights.values())
        return [
            Step(
                chosen.choices(names, weights)[0],
                chosen.randrange(_LARGEST),
                chosen.randrange(_LARGEST),
            )
            for _ in range(count)
        ]

    def replay(self, steps: Sequence[Step], end: Callable[[World], None]) -> World:
        """Take these steps, then do what ends a simulation."""
        self.taken.clear()
        world = World(self.store, self.root)
        try:
            for step in steps:
                self.taken.append(step)
                take(world, step)
            end(world)
        except Violation as violation:
            raise Violation(self._told(violation)) from violation
        finally:
            world.close()
        return world

    def _told(self, violation: Violation) -> str:
        many, last = len(self.taken), self.taken[-SHOWN_STEPS:]
        lines = "\n".join(f"  {step}" for step in last)
        return (
            f"{violation}\nseed {self.seed}, step {many}. To see it again:"
            f" Simulation(store, root, {self.seed}, weights).run({many});"
            f" the last {len(last)} steps were\n{lines}"
        )
