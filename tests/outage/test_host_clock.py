"""The host's clock ahead or behind: nothing that decides reads it (rule 2).

Due dates, deadlines and leases are the database's; durations are monotonic.
"""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobu_core.clock import ManualClock
from jobu_core.execution.health import NO_ROW_GRACE_SECONDS
from jobu_dagster.launcher import JobuRunLauncher
from jobu_dagster.private import WorkerStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fix_cron import Cron
    from tests.fix_store_time import StoreTime
    from tests.fix_worker import Carrier

ROOT = Path(__file__).resolve().parent.parent.parent
WALL_CLOCK = frozenset(
    {
        *("time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime"),
        *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    },
)
WALL_CLOCK_NAMES = frozenset({"time", "time_ns", "localtime", "gmtime", "ctime"})
READERS = {"jobu_core/services/doctor.py"}
"""The doctor compares the host's clock with the database's and says how far they are apart."""


def readings(source: str) -> Iterator[int]:
    """Return the lines that read the wall clock, however it was imported."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            dotted = ".".join(ast.unparse(node).split(".")[-2:])
            if dotted in WALL_CLOCK:
                yield node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (node.lineno for name in node.names if name.name in WALL_CLOCK_NAMES)


@pytest.mark.parametrize(
    "source",
    ["time.time()", "from time import time", "x = datetime.now(UTC)", "dt.datetime.now()"],
)
def test_a_reading_is_found(source: str) -> None:
    """The search below is not blind."""
    assert list(readings(source)) == [1]


@pytest.mark.rule(2, 11)
def test_nothing_that_decides_reads_the_hosts_clock() -> None:
    """A clock that is ahead, behind or jumping can move no due date, deadline or lease."""
    found = {
        str(path.relative_to(ROOT))
        for package in ("jobu_core", "jobu_dagster")
        for path in (ROOT / package).rglob("*.py")
        if any(readings(path.read_text("utf-8")))
    }
    assert found == READERS


@pytest.mark.rule(2)
@pytest.mark.parametrize("ahead_seconds", [-86_400, -3600, -60, 6, 3600, 86_400])
def test_a_tick_of_a_wrong_clock_decides_by_the_databases(
    cron: Cron,
    store_time: StoreTime,
    ahead_seconds: int,
) -> None:
    """Dagster's tick carries the daemon's time: neither early runs nor lost minutes follow."""
    cron.add(misfire_policy="all")
    store_time.forward(minutes=60, seconds=30)
    cron.tick(scheduled_time=store_time.now + timedelta(seconds=ahead_seconds))
    assert cron.job().dispatched_until == store_time.now
    assert len(cron.executions()) + sum(count for _, _, count in cron.skips()) == 60


@pytest.mark.rule(11)
def test_a_started_run_is_judged_by_how_long_it_was_watched(carrier: Carrier) -> None:
    """Its start is by the worker's clock, which may be hours off: only our own waiting counts."""
    launcher = carrier.instance.run_launcher
    assert isinstance(launcher, JobuRunLauncher)
    clock = ManualClock()
    launcher._clock = clock
    run = carrier.instance.create_run_for_job(carrier.gateway._job("nap"))
    for waited, status in (
        (0.0, WorkerStatus.RUNNING),
        (NO_ROW_GRACE_SECONDS, WorkerStatus.RUNNING),
        (1.0, WorkerStatus.FAILED),
    ):
        clock.advance(waited)
        assert launcher.check_run_worker_health(run).status is status
