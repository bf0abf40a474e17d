"""Times contestants in turns, so that a busy machine is busy for all of them."""

from __future__ import annotations

import gc
import os
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way of doing the work."""

    name: str
    run: Callable[[], object]
    """What is timed."""
    rows: int
    """How many rows one run handles; slow peers get fewer."""
    prepare: Callable[[], object] = lambda: None
    """Done before each run and not timed."""
    check: Callable[[], object] = lambda: None
    """Done after each run and not timed; raises when the work was not done."""
    rounds: int | None = None
    """How often it runs at most; as often as the others when None."""


@dataclass(frozen=True, slots=True)
class Lap:
    """What was measured of one contestant."""

    rows: int
    seconds: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Rows per second in the median run."""
        return self.rows / median(self.seconds)


def race(contestants: Sequence[Contestant], rounds: int) -> dict[str, Lap]:
    """Run all contestants in turns; every second round goes the other way round."""
    laps = {each.name: Lap(each.rows) for each in contestants}
    for number in range(rounds):
        order = contestants if number % 2 == 0 else list(reversed(contestants))
        for each in order:
            if each.rounds is None or number < each.rounds:
                laps[each.name].seconds.append(_timed(each))
    return laps


def _timed(contestant: Contestant) -> float:
    contestant.prepare()
    os.sync()  # nobody's fsync pays for what another left to be written
    gc.collect()
    started = time.perf_counter()
    contestant.run()
    seconds = time.perf_counter() - started
    contestant.check()
    return seconds
