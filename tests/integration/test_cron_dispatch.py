"""A cron tick decides every due occurrence exactly once, whatever happens to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.dispatcher.cron import dispatch
from jobu_core.dispatcher.cron.dispatch import CronTick, dispatch_orphans
from jobu_core.errors import StoreUnavailable
from jobu_core.models import ParamSource, Status, Trigger
from jobu_core.store import cron_jobs as store
from tests.fix_cron import Cron, FakeCatalog

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fix_store_time import StoreTime


def test_a_due_occurrence_becomes_one_execution(cron: Cron, store_time: StoreTime) -> None:
    """The row carries source, trigger, interval, keys and the job's limits."""
    job = cron.add(
        "0 9 * * *",
        timezone="Asia/Seoul",
        handler_params={"day": "{scheduled_time:%Y%m%d}", "n": 1},
        max_retry=5,
        timeout_seconds=60,
        retry_backoff_seconds=7,
    )
    store_time.at("2026-03-03T00:00:20")
    tick = cron.tick()
    (row,) = cron.executions()
    assert tick == CronTick(decided=1, created=(row.id,))
    assert (row.status, row.trigger, row.param_source) == (
        Status.PENDING,
        Trigger.SCHEDULE,
        ParamSource.CRON,
    )
    assert row.params == {"day": "20260303", "n": 1}
    assert row.scheduled_time == row.interval_end == datetime(2026, 3, 3, tzinfo=UTC)
    assert row.interval_start == datetime(2026, 3, 2, tzinfo=UTC)
    assert row.dedupe_key == f"cron:{job.id}:2026-03-03T00:00:00+00:00"
    assert row.serial_key == f"cron:{job.id}"
    assert (row.max_attempts, row.timeout_seconds, row.retry_backoff_seconds) == (6, 60, 7)


def test_repeating_a_tick_changes_nothing(cron: Cron, store_time: StoreTime) -> None:
    """The second tick of the same minute finds everything decided."""
    cron.add(overlap_policy="allow")
    scheduled = store_time.forward(minutes=1)
    assert len(cron.tick(scheduled_time=scheduled).created) == 1
    assert cron.tick(scheduled_time=scheduled) == CronTick()
    assert cron.times() == ["03-02 00:01"]


def test_a_new_job_fires_nothing_older_than_itself(cron: Cron, store_time: StoreTime) -> None:
    """Its watermark starts at its creation."""
    store_time.at("2026-03-02T12:00:30")
    job = cron.add("0 12 * * *")
    assert job.dispatched_until == job.created_at == store_time.now
    cron.tick()
    assert cron.times() == []


def test_a_tick_slightly_ahead_of_the_store_decides_its_own_minute(
    cron: Cron,
    store_time: StoreTime,
) -> None:
    """Up to five seconds of skew the tick's time counts; a lying one does not."""
    cron.add(overlap_policy="allow")
    store_time.at("2026-03-02T00:00:57")
    assert cron.tick(scheduled_time=datetime(2026, 3, 2, 0, 5, tzinfo=UTC)).created == ()
    assert len(cron.tick(scheduled_time=datetime(2026, 3, 2, 0, 1, tzinfo=UTC)).created) == 1
    store_time.at("2026-03-02T00:01:03")
    assert cron.tick().created == ()
    assert cron.times() == ["03-02 00:01"]


def test_the_watermark_never_falls(cron: Cron, store_time: StoreTime) -> None:
    """Neither a clock set back nor an old tick time lowers it."""
    cron.add(overlap_policy="allow")
    high = store_time.at("2026-03-02T01:00:00")
    cron.tick()
    store_time.at("2026-03-02T00:30:00")
    cron.tick(scheduled_time=datetime(2026, 3, 2, 0, 10, tzinfo=UTC))
    with cron.engine.begin() as connection:
        store.advance(connection, cron.job().id, store_time.now)
    assert cron.job().dispatched_until == high


def test_an_idle_job_is_advanced_too(cron: Cron, store_time: StoreTime) -> None:
    """Everything up to the tick is decided, also when nothing was due."""
    cron.add("0 9 * * *")
    now = store_time.at("2026-03-02T03:00:00")
    assert cron.tick() == CronTick()
    assert cron.job().dispatched_until == now


def test_an_idle_job_edited_meanwhile_is_not_advanced(cron: Cron, store_time: StoreTime) -> None:
    """The bulk statement compares what it read: revision, watermark, enabled."""
    seen = cron.add("0 9 * * *")
    cron.write("UPDATE cron_jobs SET revision = revision + 1")
    with cron.engine.begin() as connection:
        assert store.advance_idle(connection, [seen], store_time.forward(hours=1)) == 0
    assert cron.job().dispatched_until == seen.dispatched_until


@pytest.mark.parametrize("ticks", [2, 4])
def test_concurrent_ticks_make_no_duplicate(
    cron: Cron,
    store_time: StoreTime,
    ticks: int,
) -> None:
    """Ticks that start together decide each occurrence once between them."""
    jobs = [
        cron.add(name=f"job-{n}", overlap_policy="allow", misfire_policy="all") for n in range(5)
    ]
    store_time.forward(minutes=10)
    together = Barrier(ticks)
    made: list[int] = []

    def run() -> None:
        together.wait()
        made.extend(cron.tick().created)

    threads = [Thread(target=run) for _ in range(ticks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == len(set(made)) == len(cron.executions()) == 10 * len(jobs)


_STEPS = ("insert_executions", "record_skips", "advance")


@pytest.mark.parametrize("step", _STEPS)
@pytest.mark.parametrize("after", [False, True])
def test_a_tick_that_dies_between_two_lines_loses_nothing(
    cron: Cron,
    store_time: StoreTime,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    after: bool,
) -> None:
    """Nothing of a job is decided unless all of it is; the next tick decides it."""
    cron.add("*/5 * * * *", misfire_policy="latest")
    store_time.at("2026-03-02T00:30:10")
    holder = dispatch if step == "insert_executions" else store
    real: Callable[..., object] = getattr(holder, step)

    def dies(*arguments: object) -> object:
        if after:
            real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(holder, step, dies)
        with pytest.raises(KeyboardInterrupt):
            cron.tick()
    assert cron.executions() == []
    assert cron.skips() == []
    cron.tick()
    assert cron.times() == ["03-02 00:30"]
    assert cron.ledger_count() == 6


def test_an_outage_ends_the_tick_and_decides_nothing_more(
    cron: Cron,
    store_time: StoreTime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No job is blamed for a database that is away; the next tick goes on."""
    cron.add(name="a")
    cron.add(name="b")
    store_time.forward(minutes=1)

    def away(*_: object) -> list[int | None]:
        message = "job store unavailable"
        raise StoreUnavailable(message)

    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "insert_executions", away)
        with pytest.raises(StoreUnavailable):
            cron.tick()
    assert len(cron.tick().created) == 2


def test_one_broken_job_does_not_stop_the_others(
    cron: Cron,
    store_time: StoreTime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bug met in one job is named in the tick's message; the others are decided."""
    broken = cron.add(name="broken")
    cron.add(name="healthy")
    real = store.count_active

    def fails(connection: sa.Connection, job_id: int) -> int:
        if job_id == broken.id:
            raise ZeroDivisionError
        return real(connection, job_id)

    store_time.forward(minutes=1)
    monkeypatch.setattr(store, "count_active", fails)
    tick = cron.tick()
    assert len(tick.created) == 1
    assert tick.messages == ("broken: not decided: ZeroDivisionError",)


def test_a_job_that_somebody_holds_is_left_to_the_next_tick(
    cron: Cron,
    store_time: StoreTime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An uncommitted edit in another session delays that job only."""
    cron.add(name="held")
    cron.add(name="free")
    store_time.forward(minutes=1)
    monkeypatch.setattr(dispatch, "LOCK_WAIT_MILLISECONDS", 50)
    with cron.engine.begin() as other:
        other.execute(sa.text("UPDATE cron_jobs SET description = 'x' WHERE name = 'held'"))
        tick = cron.tick()
    assert len(tick.created) == 1
    assert "held: cron job" in tick.messages[0]
    assert len(cron.tick().created) == 1


def test_dispatch_does_not_block_on_a_foreign_key(cron: Cron, store_time: StoreTime) -> None:
    """Ingest may insert an event of a job while a tick holds that job, and the reverse."""
    job = cron.add()
    store_time.forward(minutes=1)
    with cron.engine.begin() as ingest:
        ingest.execute(
            sa.text(
                "INSERT INTO job_executions (job_id, handler_name, param_source, trigger)"
                " VALUES (:job, 'echo', 'event', 'event')",
            ),
            {"job": job.id},
        )
        assert len(cron.tick().created) == 1


def test_a_job_disabled_after_it_was_read_is_not_dispatched(
    cron: Cron,
    store_time: StoreTime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Enabled is checked again under the lock."""
    cron.add()
    store_time.forward(minutes=1)
    real = store.lock_job

    def disabled_first(connection: sa.Connection, job_id: int, **kwargs: int) -> object:
        connection.execute(sa.text("UPDATE cron_jobs SET is_enabled = false"))
        return real(connection, job_id, **kwargs)

    monkeypatch.setattr(store, "lock_job", disabled_first)
    assert cron.tick() == CronTick()
    assert cron.executions() == []


def test_bad_params_become_a_failed_execution(cron: Cron, store_time: StoreTime) -> None:
    """A bad row that slipped in is visible as FAILED with its error, once per occurrence."""
    cron.add("*/5 * * * *")
    cron.write("""UPDATE cron_jobs SET handler_params = '{"x": "{nonsense}"}'""")
    store_time.at("2026-03-02T00:05:05")
    tick = cron.tick()
    (row,) = cron.executions()
    assert row.status is Status.FAILED
    assert (row.reason, row.error_type) == ("invalid_params", "InvalidParams")
    assert row.error_message is not None
    assert "'nonsense' is no placeholder" in row.error_message
    assert row.finished_at == store_time.now
    assert tick.created == (row.id,)
    assert "invalid_params" in tick.messages[0]
    assert cron.tick() == CronTick()


def test_a_handlers_check_that_crashes_fails_its_execution_only(
    cron: Cron,
    store_time: StoreTime,
) -> None:
    """User code that raises anything is named by its error type, without its text."""
    cron.add(name="a", handler_params={"crash": True})
    cron.add(name="b")

    def refuse(params: object) -> str | None:
        assert isinstance(params, dict)
        if params.get("crash"):
            raise ZeroDivisionError(str(params))
        return None

    cron.catalog.refuse = refuse
    store_time.forward(minutes=1)
    cron.tick()
    first, second = cron.executions()
    assert (first.status, first.error_type) == (Status.FAILED, "ZeroDivisionError")
    assert first.error_message == "the check of params ended with ZeroDivisionError"
    assert second.status is Status.PENDING


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("cron_expression", "not a cron"),
        ("cron_expression", "0 0 31 2 *"),
        ("timezone", "Mars/Olympus"),
    ],
)
def test_an_unusable_row_is_noted_once_and_stops_nobody(
    cron: Cron,
    store_time: StoreTime,
    column: str,
    value: str,
) -> None:
    """Ticks in a row write one skip that grows; other jobs go on, the message stays loud."""
    cron.add(name="bad")
    cron.add(name="good", overlap_policy="allow")
    cron.write(f"UPDATE cron_jobs SET {column} = :value WHERE name = 'bad'", value=value)  # noqa: S608 - constants
    for _ in range(3):
        store_time.forward(minutes=1)
        tick = cron.tick()
        assert len(tick.created) == 1
        assert tick.messages[0].startswith("bad: cannot be scheduled: ")
    ((reason, first, count),) = cron.skips()
    assert (reason, first, count) == ("invalid", "03-02 00:01", 1)
    ((until,),) = cron.query("SELECT until FROM dispatch_skips")
    assert until == cron.job("bad").dispatched_until == store_time.now


def test_occurrences_of_an_unknown_handler_wait_then_are_skipped(
    cron: Cron,
    store_time: StoreTime,
) -> None:
    """After the grace they become one span; a handler that is back takes the younger."""
    cron.add(overlap_policy="allow", misfire_policy="all")
    store_time.forward(minutes=8)
    gone = Cron(cron.engine, FakeCatalog(names=("other",)))
    assert gone.tick().messages == ("handler 'echo' is not registered",)
    tick = dispatch_orphans(gone.engine, gone.catalog, gone.settings)
    assert (tick.decided, tick.skipped) == (3, 3)
    assert dispatch_orphans(gone.engine, gone.catalog, gone.settings) == CronTick()
    assert cron.skips() == [("handler_unknown", "03-02 00:01", 3)]
    cron.tick()
    assert cron.times() == [f"03-02 00:0{minute}" for minute in range(4, 9)]


def test_registered_handlers_are_no_orphans(cron: Cron, store_time: StoreTime) -> None:
    """The reconciler leaves jobs alone whose handler exists."""
    cron.add()
    store_time.forward(hours=1)
    assert dispatch_orphans(cron.engine, cron.catalog, cron.settings) == CronTick()
    assert cron.job().dispatched_until < store_time.now


def test_a_tick_decides_its_own_handlers_jobs_only(cron: Cron, store_time: StoreTime) -> None:
    """Each handler has its schedule; none touches another's jobs."""
    cron.add(name="a")
    cron.add(name="b", handler_name="other")
    store_time.forward(minutes=1)
    assert len(cron.tick("other").created) == 1
    assert {row.handler_name for row in cron.executions()} == {"other"}


def test_a_year_of_outage_is_decided_in_one_short_tick(cron: Cron, store_time: StoreTime) -> None:
    """Half a million missed minutes: one runs, the rest are two rows, and all are counted."""
    cron.add()
    start = store_time.now
    store_time.forward(days=365, seconds=5)
    tick = cron.tick()
    minutes = timedelta(days=365) // timedelta(minutes=1)
    assert len(tick.created) == 1
    assert cron.ledger_count() == tick.decided == minutes
    assert len(cron.query("SELECT 1 FROM dispatch_skips")) <= 3
    assert cron.job().dispatched_until == start + timedelta(days=365, seconds=5)
