"""Real warm workers that die at a crash point, child or main process; the next one goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from jobu_core.models import Execution, Status
from tests.crash.audit import audit
from tests.crash.cases import Case
from tests.load_bench import wait_until

if TYPE_CHECKING:
    from tests.fix_worker import Carrier, Workers

pytestmark = pytest.mark.timeout(180)
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class WorkerCase(Case):
    """A death inside Celery, and how many attempts the row then needs."""

    attempts: int = 2


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker, which starts in the project's folder, import the tests."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


def ended(row: Execution) -> bool:
    """Whether the row has ended well."""
    return row.status is Status.SUCCESS


CHILD = WorkerCase("claim.committed", (10, 12))
CHILDREN = (
    WorkerCase("stamp.committed", (10, 12), attempts=1),
    WorkerCase("attempt.work_ended", (10, 12)),
    WorkerCase("finish.committed", (10, 12), attempts=1),
)
LONG = [pytest.param(case, marks=pytest.mark.long) for case in CHILDREN]


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize("case", [CHILD, *LONG], ids=lambda case: case.point)
def test_a_child_that_dies_is_replaced(
    carrier: Carrier,
    workers: Workers,
    tmp_path: Path,
    case: WorkerCase,
) -> None:
    """Its supervisor notices; the same pool goes on, and the row is executed as often as said."""
    trigger = tmp_path / "armed"
    worker = workers.start("tests.crash.armed_worker", case.point, str(trigger))
    trigger.touch()
    row = carrier.insert("nap", {"seconds": 0}, retry_backoff_seconds=0)
    assert carrier.drive(row, ended).attempt == case.attempts
    assert not trigger.exists()
    assert worker.poll() is None
    audit(carrier.engine)


MAINS = (
    WorkerCase("heartbeat.committed", (12, 17)),
    WorkerCase("supervisor.end_written", (12, 14)),
)


@pytest.mark.usefixtures("importable")
@pytest.mark.long
@pytest.mark.parametrize("case", MAINS, ids=lambda case: case.point)
def test_a_main_process_that_dies_takes_its_children_along(
    carrier: Carrier,
    workers: Workers,
    tmp_path: Path,
    case: WorkerCase,
) -> None:
    """No child works on unwatched; another worker ends what was begun."""
    trigger = tmp_path / "armed"
    worker = workers.start("tests.crash.armed_worker", case.point, str(trigger))
    params = {"seconds": 100, "first_attempt_only": True, "stuck": True}
    row = carrier.insert("nap", params, retry_backoff_seconds=0, timeout_seconds=4)
    carrier.drive(row, lambda row: row.status is Status.RUNNING)
    children = psutil.Process(worker.pid).children()
    trigger.touch()
    worker.wait(timeout=20)
    wait_until(lambda: not any(child.is_running() for child in children))
    workers.start()
    assert carrier.drive(row, ended).attempt == case.attempts
    audit(carrier.engine)
