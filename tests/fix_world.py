"""A store, a carrier and one reconciler whose two clocks move together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.clock import ManualClock
from jobu_core.config import Settings
from jobu_core.dispatcher.reconcile import Reconciler
from tests.launch_support import Catalog, Jobs

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from jobu_core.dispatcher.reconcile import ReconcileTick
    from jobu_core.models import Status
    from tests.fix_runs import MemoryRuns
    from tests.fix_store_time import StoreTime


class World:
    """A store, a carrier and one reconciler whose two clocks move together."""

    def __init__(self, engine: Engine, runs: MemoryRuns, now: StoreTime, root: Path) -> None:
        """Start with nothing launched."""
        self.jobs = Jobs(engine)
        self.runs = runs
        self.now = now
        self.clock = ManualClock()
        self.settings = Settings(root=root)
        self.catalog = Catalog()
        self.reconciler = self.another()

    def another(self) -> Reconciler:
        """Return a reconciler that has seen nothing yet."""
        return Reconciler(
            self.jobs.engine,
            self.catalog,
            self.settings,
            self.runs,
            self.clock,
        )

    def wait(self, seconds: float) -> None:
        """Let time pass everywhere."""
        self.now.forward(seconds=seconds)
        self.clock.advance(seconds)

    def tick(self) -> ReconcileTick:
        """Look once."""
        return self.reconciler.tick()

    def watch(self, seconds: float, *, every: float = 5.0) -> None:
        """Look now and then every few seconds, for so long."""
        self.tick()
        for _ in range(int(seconds / every)):
            self.wait(every)
            self.tick()

    def status(self, row_id: int) -> Status:
        """Read a row's status."""
        return self.jobs.row(row_id).status

    def wait_seconds(self, row_id: int) -> float:
        """Return how long the row waits from now."""
        row = self.jobs.row(row_id)
        assert row.next_attempt_at is not None
        return (row.next_attempt_at - self.now.now).total_seconds()


@pytest.fixture
def world(engine: Engine, runs: MemoryRuns, store_time: StoreTime, tmp_path: Path) -> World:
    """Return a world in which nothing has happened."""
    return World(engine, runs, store_time, tmp_path)
