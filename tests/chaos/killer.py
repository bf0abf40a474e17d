"""Kills one part of the system at a time, at random but repeatable moments."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import psutil

from jobu_core.clock import SystemClock
from jobu_core.services import postgres
from jobu_core.services.layout import layout_of
from jobu_core.services.supervisord import Supervisord

if TYPE_CHECKING:
    import threading

    from tests.chaos.world import World

_CLOCK: Final = SystemClock()
VICTIMS: Final = (
    "daemon",
    "code-server",
    "worker",
    "worker child",
    "postgres",
    "postgres backend",
    "kafka",
    "valkey",
)
_PAUSE_SECONDS: Final = (2.0, 8.0)
_BROKER_AWAY_SECONDS: Final = (0.0, 5.0)


class Killer:
    """``run`` kills until its time is over; ``kills`` says what it hit."""

    def __init__(self, world: World, seed: int) -> None:
        """Kill nothing yet."""
        self._world = world
        self._layout = layout_of(world.settings)
        self._supervisord = Supervisord(self._layout)
        self._random = random.Random(f"killer {seed}")  # noqa: S311 - repeatable, not secret
        self.kills: Counter[str] = Counter()

    def run(self, seconds: float, stop: threading.Event) -> None:
        """Kill for ``seconds``; whoever supervises a victim brings it back."""
        until = time.monotonic() + seconds
        while not stop.wait(self._random.uniform(*_PAUSE_SECONDS)):
            if time.monotonic() >= until:
                return
            victim = self._random.choice(VICTIMS)
            away = self._random.uniform(*_BROKER_AWAY_SECONDS)
            chance = self._random.random()
            if self._kill(victim, away, chance):
                self.kills[victim] += 1

    def _kill(self, victim: str, away: float, chance: float) -> bool:
        if victim == "kafka":
            self._world.broker.kill()
            _CLOCK.sleep(away)
            self._world.broker.start()
            return True
        program, _, part = victim.partition(" ")
        pid = self._pid(program)
        if pid is None:
            return False
        try:
            process = psutil.Process(pid)
            if part:
                children = process.children()
                if not children:
                    return False
                process = children[int(chance * len(children))]
            process.kill()
        except psutil.NoSuchProcess:
            return False
        return True

    def _pid(self, program: str) -> int | None:
        if program == "postgres":
            return postgres.server_pid(self._layout)
        info = self._supervisord.info(program)
        return info.pid if info else None
