"""Several executions in one launch: claimed together, tried one by one, judged apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobu_core.clock import ManualClock
from jobu_core.config import Settings
from jobu_core.config.sections import DispatcherSettings, LaunchSettings
from jobu_core.execution.batch import run_batch
from jobu_core.models import Status
from jobu_core.store import supervision
from jobu_core.store.engine import transaction
from tests.launch_support import Jobs

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy import Engine

    from tests.fix_world import World


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    """Return shortcuts on a fresh job store."""
    return Jobs(engine)


def test_a_backlog_shares_launches(jobs: Jobs) -> None:
    """Ten rows, one slot with one launch ahead: two launches carry them all."""
    jobs.worker(slots=1)
    ids = [jobs.add() for _ in range(10)]
    plan = jobs.claim(max_batch=100)
    assert [batch.execution_ids for batch in plan.batches] == [tuple(ids[:5]), tuple(ids[5:])]
    assert plan.message == (
        f"launching 2: executions {', '.join(str(one) for one in ids[:5])} and 5 more"
    )
    for batch in plan.batches:
        tokens = {jobs.row(row_id).lease_token for row_id in batch.execution_ids}
        assert tokens == {batch.token}
    assert jobs.claimed_ids(max_batch=100) == []


def test_few_rows_do_not_share(jobs: Jobs) -> None:
    """While there is a launch for each row, each has its own."""
    jobs.worker(slots=2)
    for _ in range(4):
        jobs.add()
    assert len(jobs.claim(max_batch=100).batches) == 4


def test_rows_of_one_serial_key_never_meet_in_a_launch(jobs: Jobs) -> None:
    """Of each key only the oldest is claimed, whatever room the launch has."""
    jobs.worker(slots=1)
    ids = [jobs.add(serial_key=key) for key in ("k", "k", "l", "l", "m")]
    assert jobs.claimed_ids(max_batch=100) == [ids[0], ids[2], ids[4]]


class _Launch:
    """Attempts that take a while, and what was begun."""

    def __init__(self, root: Path, jobs: Jobs, clock: ManualClock, seconds: float) -> None:
        launch = LaunchSettings(batch_seconds=30)
        self.settings = Settings(root=root, dispatcher=DispatcherSettings(launch=launch))
        self.engine = jobs.engine
        self.clock = clock
        self.seconds = seconds
        self.begun: list[int] = []
        self.said: list[str] = []

    def begin(self, execution_id: int, token: UUID) -> Any:  # noqa: ANN401 - stands for an Attempt
        del token
        self.begun.append(execution_id)
        return self

    def run(self, sink: Any) -> Any:  # noqa: ANN401 - an Outcome as far as a batch looks
        del sink
        self.clock.advance(self.seconds)
        return self

    @property
    def message(self) -> str:
        """What an outcome says."""
        return "done"

    def log(self, message: str) -> None:
        """Take what goes to the run's log."""
        self.said.append(message)


def test_a_batch_that_takes_long_gives_the_rest_back(jobs: Jobs, tmp_path: Path) -> None:
    """Past batch_seconds the rows not begun are PENDING at once, uncounted, for other slots."""
    jobs.worker(slots=1)
    ids = [jobs.add() for _ in range(8)]
    batch = jobs.claim(max_batch=100).batches[0]
    launch: Any = _Launch(tmp_path, jobs, ManualClock(), seconds=20)
    rows = [(row_id, batch.token) for row_id in batch.execution_ids]
    assert len(run_batch(launch, rows, launch.begin, launch)) == 2
    assert launch.begun == ids[:2]
    assert launch.said == ["done", "done", "2 executions go back: 2 took long enough"]
    for row_id in ids[2:4]:
        row = jobs.row(row_id)
        assert (row.status, row.reason, row.launch_count) == (Status.PENDING, "batch_over", 0)
        assert row.lease_token is None


def test_a_quick_batch_is_finished_whole(jobs: Jobs, tmp_path: Path) -> None:
    """Within batch_seconds every row is tried, in order."""
    jobs.worker(slots=1)
    ids = [jobs.add() for _ in range(8)]
    batch = jobs.claim(max_batch=100).batches[0]
    launch: Any = _Launch(tmp_path, jobs, ManualClock(), seconds=1)
    rows = [(row_id, batch.token) for row_id in batch.execution_ids]
    assert len(run_batch(launch, rows, launch.begin, launch)) == 4
    assert launch.begun == ids[:4]


def _begin_first_of_two(jobs: Jobs) -> tuple[int, int, UUID]:
    jobs.worker(slots=1)
    for _ in range(4):
        jobs.add()
    batch = jobs.claim(max_batch=2).batches[0]
    jobs.stamp(batch)
    assert jobs.start(batch) is not None
    first, second = batch.execution_ids
    return first, second, batch.token


@pytest.mark.parametrize("counted", [True, False])
def test_the_innocents_of_a_batch_are_not_counted(jobs: Jobs, *, counted: bool) -> None:
    """A launch that began another row counts against no row that waited behind it."""
    first, second, token = _begin_first_of_two(jobs)
    jobs.change(first, status="SUCCESS", lease_token=None)
    with transaction(jobs.engine) as connection:
        assert supervision.return_unstarted(connection, [token], reason="r", counted=counted) == 1
    row = jobs.row(second)
    assert (row.status, row.launch_count, row.next_attempt_at) == (Status.PENDING, 0, None)


def test_a_launch_that_began_nothing_counts_for_all_its_rows(jobs: Jobs) -> None:
    """Both rows of a launch that died before its first row have one launch more."""
    jobs.worker(slots=1)
    for _ in range(4):
        jobs.add()
    batch = jobs.claim(max_batch=2).batches[0]
    jobs.stamp(batch)
    with transaction(jobs.engine) as connection:
        supervision.return_unstarted(connection, [batch.token], reason="r", counted=True)
    assert [jobs.row(row_id).launch_count for row_id in batch.execution_ids] == [1, 1]


def test_the_reconciler_returns_innocents_uncounted(world: World) -> None:
    """A worker died inside a batch: the row it had begun loses an attempt, the other nothing."""
    first, second, _token = _begin_first_of_two(world.jobs)
    world.watch(60)
    assert world.jobs.row(first).reason == "worker_lost"
    row = world.jobs.row(second)
    assert (row.status, row.launch_count, row.reason) == (Status.PENDING, 0, "sibling_ended")
