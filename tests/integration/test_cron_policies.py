"""Misfire and overlap policies, as seen in the rows they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.models import Trigger
from tests.fix_cron import Cron, short

if TYPE_CHECKING:
    from tests.fix_store_time import StoreTime


def _intervals(cron: Cron) -> list[tuple[str, str]]:
    return [(short(row.interval_start), short(row.interval_end)) for row in cron.executions()]


def test_latest_runs_the_newest_missed_and_widens_its_interval(
    cron: Cron,
    store_time: StoreTime,
) -> None:
    """Nothing on time: the newest missed one runs for all of the grace."""
    cron.add("*/10 * * * *", misfire_grace_seconds=3600)
    store_time.at("2026-03-02T00:35:00")
    cron.tick()
    assert cron.times() == ["03-02 00:30"]
    assert _intervals(cron) == [("03-02 00:00", "03-02 00:30")]
    assert cron.skips() == [("coalesced", "03-02 00:10", 2)]


def test_latest_coalesces_into_the_first_on_time_occurrence(
    cron: Cron,
    store_time: StoreTime,
) -> None:
    """With an occurrence on time, that one stands for the missed ones as well."""
    cron.add("*/10 * * * *")
    store_time.at("2026-03-02T00:40:30")
    cron.tick()
    assert _intervals(cron) == [("03-02 00:00", "03-02 00:40")]
    assert cron.skips() == [("coalesced", "03-02 00:10", 3)]
    assert cron.ledger_count() == 4


def test_beyond_the_grace_is_misfired_and_not_coalesced(cron: Cron, store_time: StoreTime) -> None:
    """Older than the grace never runs, and no interval is widened over it."""
    cron.add("*/10 * * * *", misfire_grace_seconds=1200)
    store_time.at("2026-03-02T01:05:00")
    cron.tick()
    assert _intervals(cron) == [("03-02 00:40", "03-02 01:00")]
    assert cron.skips() == [("misfired", "03-02 00:10", 4), ("coalesced", "03-02 00:50", 1)]


def test_all_runs_each_missed_one(cron: Cron, store_time: StoreTime) -> None:
    """Every missed occurrence has its own row and interval."""
    cron.add("*/10 * * * *", misfire_policy="all", overlap_policy="queue_all")
    store_time.at("2026-03-02T00:35:00")
    cron.tick()
    assert _intervals(cron) == [
        ("03-02 00:00", "03-02 00:10"),
        ("03-02 00:10", "03-02 00:20"),
        ("03-02 00:20", "03-02 00:30"),
    ]
    assert cron.skips() == []


def test_all_is_bounded_by_max_catchup(cron: Cron, store_time: StoreTime) -> None:
    """The newest hundred missed ones run; the older are one span."""
    cron.add(misfire_policy="all", overlap_policy="allow", misfire_grace_seconds=864000)
    store_time.at("2026-03-02T10:00:30")
    tick = cron.tick()
    on_time = 2
    assert len(tick.created) == 100 + on_time
    assert cron.skips() == [("misfired", "03-02 00:01", 600 - 102)]
    assert cron.ledger_count() == 600


def test_none_runs_only_what_is_on_time(cron: Cron, store_time: StoreTime) -> None:
    """Missed ones are skipped, the one on time keeps its own interval."""
    cron.add("*/10 * * * *", misfire_policy="none")
    store_time.at("2026-03-02T00:30:30")
    cron.tick()
    assert _intervals(cron) == [("03-02 00:20", "03-02 00:30")]
    assert cron.skips() == [("misfired", "03-02 00:10", 2)]


def test_ninety_seconds_late_is_on_time_ninety_one_is_missed(
    cron: Cron,
    store_time: StoreTime,
) -> None:
    """The threshold is inclusive."""
    cron.add("*/10 * * * *", name="a", misfire_policy="none", overlap_policy="allow")
    store_time.at("2026-03-02T00:11:30")
    assert len(cron.tick().created) == 1
    store_time.at("2026-03-02T00:21:30.000001")
    assert cron.tick().skipped == 1


def test_skip_runs_none_while_one_is_active(cron: Cron, store_time: StoreTime) -> None:
    """An unfinished execution of the job keeps the next from being made."""
    cron.add(overlap_policy="skip")
    for _ in range(3):
        store_time.forward(minutes=1)
        cron.tick()
    assert cron.times() == ["03-02 00:01"]
    assert cron.skips() == [("overlap", "03-02 00:02", 1), ("overlap", "03-02 00:03", 1)]
    cron.finish_all()
    store_time.forward(minutes=1)
    cron.tick()
    assert cron.times() == ["03-02 00:01", "03-02 00:04"]


def test_allow_runs_side_by_side_without_a_serial_key(cron: Cron, store_time: StoreTime) -> None:
    """Nothing orders executions that may overlap."""
    cron.add(overlap_policy="allow")
    for _ in range(3):
        store_time.forward(minutes=1)
        cron.tick()
    assert [row.serial_key for row in cron.executions()] == [None] * 3


def test_queue_one_lets_one_wait(cron: Cron, store_time: StoreTime) -> None:
    """One active, one behind it, the third is skipped."""
    cron.add(overlap_policy="queue_one")
    for _ in range(4):
        store_time.forward(minutes=1)
        cron.tick()
    assert cron.times() == ["03-02 00:01", "03-02 00:02"]
    assert [reason for reason, _, _ in cron.skips()] == ["overlap", "overlap"]


def test_queue_all_lets_all_wait_under_one_serial_key(cron: Cron, store_time: StoreTime) -> None:
    """None is skipped; the key makes them run one after another."""
    job = cron.add(overlap_policy="queue_all")
    for _ in range(4):
        store_time.forward(minutes=1)
        cron.tick()
    assert [row.serial_key for row in cron.executions()] == [f"cron:{job.id}"] * 4


@pytest.mark.parametrize(
    ("trigger", "counts"),
    [
        (Trigger.SCHEDULE, True),
        (Trigger.MANUAL, True),
        (Trigger.RETRY, True),
        (Trigger.EVENT, False),
        (Trigger.BACKFILL, False),
        (Trigger.REDRIVE, False),
    ],
)
def test_what_counts_as_active(
    cron: Cron,
    store_time: StoreTime,
    trigger: Trigger,
    counts: bool,
) -> None:
    """Schedule, manual and retry do; events and backfills run beside the job."""
    job = cron.add()
    cron.write(
        "INSERT INTO job_executions (job_id, handler_name, param_source, trigger)"
        " VALUES (:job, 'echo', 'cron', :trigger)",
        job=job.id,
        trigger=trigger.value,
    )
    store_time.forward(minutes=1)
    assert (len(cron.tick().created) == 0) is counts


def test_an_execution_that_failed_at_once_is_not_active(
    cron: Cron,
    store_time: StoreTime,
) -> None:
    """Two occurrences in one tick, both with bad params: both are FAILED rows."""
    cron.add(overlap_policy="skip", misfire_policy="none")
    cron.catalog.refuse = lambda _params: "x: missing"
    store_time.at("2026-03-02T00:02:20")
    assert len(cron.tick().created) == 2
    assert cron.outcomes() == {"FAILED": 2}


@pytest.mark.parametrize(
    ("dst_policy", "runs", "skips"),
    [
        ("standard", ["03-29 01:00"], []),
        ("skip", [], [("gap", "03-29 01:00", 1)]),
        ("both", ["03-29 01:00"], []),
    ],
)
def test_a_night_without_its_time_is_in_the_ledger_under_every_policy(
    cron: Cron,
    store_time: StoreTime,
    dst_policy: str,
    runs: list[str],
    skips: list[tuple[str, str, int]],
) -> None:
    """Ticks around the gap of Berlin: 02:30 runs at its end, or is skipped with the reason."""
    store_time.at("2026-03-29T00:58:00")
    cron.add("30 2 * * *", timezone="Europe/Berlin", dst_policy=dst_policy)
    for _ in range(5):
        store_time.forward(minutes=1)
        cron.tick()
    assert cron.times() == runs
    assert cron.skips() == skips


@pytest.mark.parametrize(
    ("dst_policy", "runs"),
    [
        ("standard", ["10-25 00:30"]),
        ("skip", ["10-25 00:30"]),
        ("both", ["10-25 00:30", "10-25 01:30"]),
    ],
)
def test_a_night_with_its_time_twice_runs_as_the_policy_says(
    cron: Cron,
    store_time: StoreTime,
    dst_policy: str,
    runs: list[str],
) -> None:
    """Each pass is an occurrence of its own under both: own row, own key, own interval."""
    store_time.at("2026-10-25T00:00:30")
    cron.add("30 2 * * *", timezone="Europe/Berlin", dst_policy=dst_policy, overlap_policy="allow")
    for _ in range(5):
        store_time.forward(minutes=30)
        cron.tick()
    assert cron.times() == runs
    assert len({row.dedupe_key for row in cron.executions()}) == len(runs)
    assert cron.skips() == []
