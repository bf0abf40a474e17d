"""A job store for simulations: one database per test, emptied for each simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.actors import Stage
from tests.simulation.store import SimulatedStore

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def simulated_store(database_url: str) -> Iterator[SimulatedStore]:
    """Return a store that notes its own history."""
    made = SimulatedStore(database_url, Stage(lambda: 0.0))
    yield made
    made.close()
