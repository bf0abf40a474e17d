"""The simulation catches what it is there for: bugs put in on purpose, one at a time."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import pytest

from jobu_core.dispatcher.cron import edit
from jobu_core.dispatcher.queue.ingest import Ingest
from jobu_core.dispatcher.reconcile import Reconciler
from jobu_core.execution.run import Attempt
from jobu_core.runs import RunState
from jobu_core.store import cron_jobs, executions, transitions
from jobu_core.store.schema import cron_jobs as jobs
from tests.simulation.driver import WEIGHTS, Simulation
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.simulation.store import SimulatedStore

MOST_STEPS: Final = 600
SEEDS: Final = range(8)
SLOW_SUPERVISORS: Final = {**WEIGHTS, "freeze": 5, "turn": 15, "jump": 0, "outage": 0}
"""Workers that look dead although their children work on."""
LATE_CHILDREN: Final = {
    **WEIGHTS,
    "freeze": 12,
    "turn": 60,
    "supervise": 3,
    "go_on": 10,
    "wait": 20,
    "send": 8,
    "staff": 4,
    **dict.fromkeys(("jump", "outage", "kill", "person", "cron", "ui", "rewind", "stall"), 0),
}
"""The same, and a second worker that takes over in time to meet the first one's end."""
SLOW_LAUNCHES: Final = {
    **WEIGHTS,
    "turn": 0,
    "go_on": 8,
    "wait": 24,
    "tick": 50,
    "person": 0,
    "outage": 0,
    "jump": 0,
}
"""Runs that were created and not yet submitted, for longer than their grace."""
RESTORED_IDS: Final = {**WEIGHTS, "rewind": 6, "send": 10}
OUTAGES: Final = {**WEIGHTS, "outage": 6, "tick": 40, "jump": 0, "kill": 0, "staff": 0}


@dataclass(frozen=True)
class Bug:
    """A bug, how it is put in, and what the simulation says of it."""

    patch: Callable[[ExitStack], None]
    says: str
    weights: Mapping[str, int]

    @contextmanager
    def put_in(self) -> Iterator[None]:
        """Have the bug while the block runs."""
        with ExitStack() as stack:
            self.patch(stack)
            yield


def _replace(stack: ExitStack, target: Any, name: str, stand_in: object) -> None:  # noqa: ANN401 - any module or class
    before = getattr(target, name)
    assert before != stand_in, f"{name}: the bug changes nothing"
    stack.enter_context(mock.patch.object(target, name, stand_in))


def no_token_fence(stack: ExitStack) -> None:
    """Let whoever executes an execution go on and end it, whichever launch owns it."""
    fence = "AND lease_token = :token AND attempt = :attempt "
    for name in ("_LEASE", "_PROGRESS", "_FINISH", "_RETRY"):
        _replace(stack, transitions, name, getattr(transitions, name).replace(fence, ""))


def broker_committed_first(stack: ExitStack) -> None:
    """Tell the broker before the transaction."""
    write: Any = Ingest._write

    def committing(self: Any, messages: Any, tally: Any) -> Any:  # noqa: ANN401 - as the real one
        self._tell_broker({each.partition: each.offset + 1 for each in messages})
        return write(self, messages, tally)

    _replace(stack, Ingest, "_write", committing)


def bare_conflict_target(stack: ExitStack) -> None:
    """Do nothing on any conflict, not only on that of the dedupe key."""
    bare = executions._INSERT.replace("ON CONFLICT (dedupe_key)", "ON CONFLICT")
    _replace(stack, executions, "_INSERT", bare)


def watermark_moved_back(stack: ExitStack) -> None:
    """Let an edit set the watermark to now, also where it was ahead."""

    def set_watermark(connection: Any, job_id: int, until: Any) -> None:  # noqa: ANN401 - as the real one
        now = cron_jobs.read_now(connection)
        change = jobs.update().where(jobs.c.id == job_id)
        connection.execute(change.values(dispatched_until=min(now, until)))

    store = mock.Mock(wraps=cron_jobs, advance=set_watermark)
    _replace(stack, edit, "store", store)


def submitted_again(stack: ExitStack) -> None:
    """Let the reconciler submit a run that nobody has submitted."""
    act: Any = Reconciler._act

    def submitting(self: Any, row: Any, verdict: Any, run: Any) -> bool:  # noqa: ANN401 - as the real one
        if verdict.retire_run and run is not None and run.state is RunState.NOT_STARTED:
            self.runs.submit(self.runs.runs[run.run_id])
            return True
        return bool(act(self, row, verdict, run))

    _replace(stack, Reconciler, "_act", submitting)


def no_exit(stack: ExitStack) -> None:
    """Let a child go on after a write of it was refused."""
    _replace(stack, Attempt, "_leave", lambda _self, _error: None)


def failed_reads_count(stack: ExitStack) -> None:
    """Let the reconciler keep what it has seen through looks that failed."""

    def tick(self: Any) -> Any:  # noqa: ANN401 - as the real one
        try:
            return self._look()
        except Exception:
            self._looked_at = self.clock.monotonic()
            raise

    _replace(stack, Reconciler, "tick", tick)


BUGS: Final = {
    bug.patch.__name__: bug
    for bug in (
        Bug(no_token_fence, "which owned", LATE_CHILDREN),
        Bug(broker_committed_first, "ahead of the table", WEIGHTS),
        Bug(bare_conflict_target, "messages in the ledger|were not decided", RESTORED_IDS),
        Bug(watermark_moved_back, "its watermark fell", WEIGHTS),
        Bug(
            submitted_again, "was submitted 2 times|was sent to the workers 2 times", SLOW_LAUNCHES
        ),
        Bug(no_exit, "SIGKILL hit the innocent|after a write was refused", SLOW_SUPERVISORS),
        Bug(failed_reads_count, "was called lost after", OUTAGES),
    )
}


@pytest.mark.parametrize("name", BUGS)
def test_a_seeded_bug_is_caught(name: str, simulated_store: SimulatedStore, tmp_path: Path) -> None:
    """A seed finds it within a bounded number of steps, and says what went wrong."""
    bug = BUGS[name]
    said = ""
    with bug.put_in():
        for seed in SEEDS:
            simulation = Simulation(simulated_store, tmp_path, seed, bug.weights)
            try:
                simulation.explore(MOST_STEPS)
            except Violation as violation:
                said = str(violation)
                break
    assert any(words in said for words in bug.says.split("|")), said or "nothing was found"
