"""Nothing lost, nothing doubled, whatever the steps: short runs here, long ones by `test-long`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.simulation.driver import WEIGHTS, Simulation
from tests.simulation.rest import settle
from tests.simulation.steps import STEPS, Step, take
from tests.simulation.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulation.store import SimulatedStore

LONG_STEPS: Final = 5000
SHORT_STEPS: Final = 250

NUMBERS: Final = st.integers(0, 999)
ROUTINE: Final = ("tick", "turn", "supervise", "work", "go_on", "wait")
FAULTS: Final = ("kill", "staff", "freeze", "outage", "jump", "rewind", "stall", "resume_tick")
PEOPLE: Final = ("send", "person", "cron", "ui")


class AnySteps(RuleBasedStateMachine):
    """Hypothesis chooses the steps; the world is always in a state that allows them."""

    def __init__(self, store: SimulatedStore, root: Path) -> None:
        """Begin with an empty store."""
        super().__init__()
        self.world = World(store, root)

    @rule(name=st.sampled_from(ROUTINE), which=NUMBERS, how=NUMBERS)
    def work_on(self, name: str, which: int, how: int) -> None:
        """Let somebody do what they always do, perhaps not to the end."""
        take(self.world, Step(name, which, how))

    @rule(name=st.sampled_from(FAULTS), which=NUMBERS, how=NUMBERS)
    def break_something(self, name: str, which: int, how: int) -> None:
        """Let something go wrong."""
        take(self.world, Step(name, which, how))

    @rule(name=st.sampled_from(PEOPLE), which=NUMBERS, how=NUMBERS)
    def ask_for_something(self, name: str, which: int, how: int) -> None:
        """Let a person or a producer want something."""
        take(self.world, Step(name, which, how))

    @rule(times=st.integers(1, 4))
    def turn(self, times: int) -> None:
        """Let everybody work for a while."""
        for number in range(times):
            take(self.world, Step("turn", number))
            take(self.world, Step("wait", 1))

    def teardown(self) -> None:
        """Let the world come to rest, audit it, and end it."""
        try:
            if not self.world.violations:
                settle(self.world)
        finally:
            self.world.close()


def run_machine(store: SimulatedStore, root: Path, *, examples: int, steps: int) -> None:
    """Let Hypothesis look for steps that break a promise, and shorten what it finds."""
    machine: Any = partial(AnySteps, store, root)  # it takes any factory, its type says a class
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_steps_break_nothing(simulated_store: SimulatedStore, tmp_path: Path) -> None:
    """Hypothesis finds no list of steps that violates an invariant or never comes to rest."""
    run_machine(simulated_store, tmp_path, examples=6, steps=25)


@pytest.mark.parametrize("seed", range(2))
def test_a_seeded_run_breaks_nothing(
    simulated_store: SimulatedStore,
    tmp_path: Path,
    seed: int,
) -> None:
    """Some hundred random steps, then rest: each message and occurrence has one outcome."""
    world = Simulation(simulated_store, tmp_path, seed).run(SHORT_STEPS)
    ended = {row["status"] for row in world.invariants.rows.values()}
    assert ended <= {"SUCCESS", "FAILED", "TIMEOUT", "CANCELED"}
    assert "SUCCESS" in ended


def test_a_seed_replays(simulated_store: SimulatedStore, tmp_path: Path) -> None:
    """The same seed does the same to every row: what a failure prints can be seen again."""

    def outcome() -> list[tuple[Any, ...]]:
        world = Simulation(simulated_store, tmp_path, 3).run(100)
        rows = world.invariants.rows.values()
        return [
            (row["id"], row["status"], row["reason"], row["attempt"], row["started_at"])
            for row in rows
        ]

    first = outcome()
    assert first
    assert first == outcome()


def test_every_step_has_its_turn() -> None:
    """The seeded driver and the state machine leave no step out."""
    assert set(WEIGHTS) == set(STEPS)
    assert {*ROUTINE, *FAULTS, *PEOPLE} == set(STEPS)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_steps_of_hypothesis(simulated_store: SimulatedStore, tmp_path: Path) -> None:
    """Many more and longer lists of steps."""
    run_machine(simulated_store, tmp_path, examples=60, steps=80)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 106))
def test_five_thousand_steps(simulated_store: SimulatedStore, tmp_path: Path, seed: int) -> None:
    """A long life with every fault there is, and then rest."""
    world = Simulation(simulated_store, tmp_path, seed).run(LONG_STEPS)
    assert len(world.invariants.rows) > LONG_STEPS // 50
