"""``jobu prune``: what nobody needs goes, whole chains at a time; what could come again stays."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.errors import NotFound
from jobu_core.execution.retry import insert_retry, retry_execution
from jobu_core.store import retention
from jobu_core.store.engine import transaction
from jobu_core.store.reloads import lock_claims, write_claims
from tests.load_bench import wait_until
from tests.prune_bench import PruneBench

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from jobu_core.execution.retention import Pruned


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> PruneBench:
    """Return an empty store."""
    return PruneBench(engine, tmp_path)


def test_what_ended_long_ago_goes_and_the_rest_stays(bench: PruneBench) -> None:
    """Age counts from the end, and an execution without an end has none."""
    bench.ended()
    young = bench.ended(days=29)
    running = bench.jobs.running().id
    waiting = bench.jobs.add()
    bench.run("UPDATE job_executions SET created_at = jobu_now() - interval '1 year'")
    assert bench.prune().executions == 1
    assert bench.executions == {young, waiting, running}
    assert bench.prune().executions == 0


def test_a_chain_of_retries_stays_or_goes_as_one(bench: PruneBench) -> None:
    """The first one is asked for by the last one: for its load key, its time, its stages."""
    first = bench.ended()
    second = bench.ended(root_execution_id=first)
    young = bench.ended(days=1, root_execution_id=first)
    other = bench.ended()
    retried = bench.ended(root_execution_id=other)
    assert bench.prune().executions == 2
    assert bench.executions == {first, second, young}
    assert {other, retried}.isdisjoint(bench.executions)
    bench.run("UPDATE job_executions SET finished_at = jobu_now() - interval '31 days'")
    assert bench.prune().executions == 3


def test_an_unfinished_retry_keeps_its_chain(bench: PruneBench) -> None:
    """It may still load under the first one's key."""
    first = bench.ended()
    waiting = bench.jobs.add(root_execution_id=first)
    assert bench.prune().executions == 0
    assert bench.executions == {first, waiting}


@pytest.mark.rule(19)
def test_an_occurrence_goes_only_once_the_watermark_covers_it(bench: PruneBench) -> None:
    """Else the next tick would decide it anew; a job that is gone decides nothing."""
    job = bench.daily_job()
    covered = bench.ended(job_id=job.id, scheduled_time=job.dispatched_until)
    bench.run("UPDATE cron_jobs SET dispatched_until = dispatched_until - interval '1 second'")
    assert bench.prune().executions == 0
    bench.run("UPDATE cron_jobs SET dispatched_until = dispatched_until + interval '1 second'")
    assert bench.prune().executions == 1
    assert covered not in bench.executions
    orphan = bench.ended(job_id=job.id, scheduled_time=job.dispatched_until)
    bench.run("UPDATE cron_jobs SET dispatched_until = created_at - interval '1 year'")
    assert bench.prune().executions == 0
    bench.run("DELETE FROM cron_jobs")
    assert bench.prune().executions == 1
    assert orphan not in bench.executions


@pytest.mark.rule(19)
def test_a_message_goes_only_once_its_own_group_is_past_it(bench: PruneBench) -> None:
    """Another group's position says nothing; without one nothing is known."""
    bench.position(10, group="other")
    read, unread = bench.event(4), bench.event(5)
    assert bench.prune().executions == 0
    bench.position(5)
    assert bench.prune().executions == 1
    assert read not in bench.executions
    assert unread in bench.executions


@pytest.mark.rule(19)
def test_a_message_of_a_generation_that_is_past_goes(bench: PruneBench) -> None:
    """The topic was made again: its old offsets are never read, its own group's only."""
    bench.position(0)
    bench.position(0, group="other", generation=2)
    bench.event(5)
    assert bench.prune().executions == 0
    bench.position(0, generation=2)
    assert bench.prune().executions == 1


def test_settled_letters_go_and_open_ones_stay(bench: PruneBench) -> None:
    """Also those stay of which a copy could be redriven, or whose execution is young."""
    bench.position(10)
    young_run, old_run = bench.ended(days=1), bench.ended()
    kept = {
        bench.letter(0, status="open"),
        bench.letter(1, days=3),
        bench.letter(2, mirror_topic="copies"),
        bench.letter(3, status="redriven", execution_id=young_run, redrive_count=1),
        bench.letter(10),
    }
    bench.letter(4)
    bench.letter(5, status="redriven", execution_id=old_run, redrive_count=1)
    assert bench.prune().dead_letters == 2
    assert bench.letters == kept


def test_skips_go_once_the_watermark_covers_them(bench: PruneBench) -> None:
    """A span counts by its last occurrence."""
    job = bench.daily_job()
    bench.run(
        """INSERT INTO dispatch_skips (job_id, scheduled_time, until, reason, revision, decided_at)
           SELECT :job, at, until, 'overlap', 1, jobu_now() - age FROM (VALUES
             (CAST(:now AS timestamptz), NULL, interval '40 days'),
             (CAST(:now AS timestamptz) - interval '1 day',
              CAST(:now AS timestamptz) + interval '1 day', interval '40 days'),
             (CAST(:now AS timestamptz) - interval '2 days', NULL, interval '4 days')
           ) AS v (at, until, age)""",
        job=job.id,
        now=job.dispatched_until,
    )
    assert bench.prune().skips == 1
    assert len(bench.run("SELECT FROM dispatch_skips")) == 2


def test_a_ledger_of_reloaded_rejects_keeps_what_it_names_and_goes_with_its_chain(
    bench: PruneBench,
) -> None:
    """While the first load can be asked again, so must be who has loaded its rows."""
    root, made = bench.ended(days=1), bench.ended()
    with transaction(bench.engine) as connection:
        lock_claims(connection, root)
        write_claims(connection, root, {made: [1, 2]})
    assert bench.prune().executions == 0
    bench.jobs.change(root, finished_at=sa.func.jobu_now() - sa.text("interval '40 days'"))
    assert bench.prune().executions == 1
    assert bench.run("SELECT FROM jobu_meta WHERE key LIKE 'reloaded:%'") == []
    assert bench.prune().executions == 1
    assert bench.executions == set()


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_a_dry_run_counts_what_goes_and_changes_nothing(bench: PruneBench, batch: int) -> None:
    """The same figures, whatever the portions; every row is still there."""
    bench.batch = batch
    _one_of_each(bench)
    before = _contents(bench)
    said = bench.prune(dry_run=True)
    assert _contents(bench) == before
    assert bench.prune() == said
    assert (said.executions, said.dead_letters, said.skips) == (9, 3, 3)
    assert bench.prune(dry_run=True).executions == 0


def test_what_went_is_in_the_audit_log_once(bench: PruneBench) -> None:
    """A prune that found nothing, or was asked to delete nothing, is no change."""
    bench.ended()
    dry = bench.pruning(dry_run=True)
    dry.record("anna", dry.prune(dry.cutoff()), runs=0)
    for _ in range(2):
        pruning = bench.pruning()
        pruning.record("anna", pruning.prune(pruning.cutoff()), runs=0)
    ((who, after),) = bench.run("SELECT who, after FROM audit_log WHERE what = 'prune'")
    assert (who, after["executions"]) == ("anna", 1)


def test_a_retry_that_is_being_inserted_keeps_its_chain(bench: PruneBench) -> None:
    """Prune waits for it, sees it, and leaves the first one."""
    first = bench.ended(status="FAILED")
    done: list[Pruned] = []
    with transaction(bench.engine) as connection:
        insert_retry(connection, bench.jobs.row(first))
        thread = threading.Thread(target=lambda: done.append(bench.prune()))
        thread.start()
        wait_until(lambda: _somebody_waits(bench))
    thread.join(30)
    assert done[0].executions == 0
    assert first in bench.executions


def test_a_retry_of_what_is_being_pruned_finds_nothing(bench: PruneBench) -> None:
    """It waits for prune, and never leaves a retry without its first execution."""
    first = bench.ended(status="FAILED")
    raised: list[Exception] = []

    def retry() -> None:
        try:
            retry_execution(bench.engine, first, who="anna")
        except NotFound as error:
            raised.append(error)

    with transaction(bench.engine) as connection:
        portion = retention.old_executions(
            connection, bench.pruning().cutoff(), [], after=None, most=10
        )
        thread = threading.Thread(target=retry)
        thread.start()
        wait_until(lambda: _somebody_waits(bench))
        retention.delete_executions(connection, portion)
    thread.join(30)
    assert len(raised) == 1
    assert bench.executions == set()


def _somebody_waits(bench: PruneBench) -> bool:
    return bool(
        bench.run(
            "SELECT FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
    )


def _one_of_each(bench: PruneBench) -> None:
    bench.position(100)
    job = bench.daily_job()
    for number in range(3):
        first = bench.ended()
        bench.ended(root_execution_id=first)
        bench.ended(days=1)
        bench.event(number)
        bench.letter(number)
        bench.run(
            "INSERT INTO dispatch_skips (job_id, scheduled_time, reason, revision, decided_at)"
            " SELECT id, dispatched_until - make_interval(days => :number), 'overlap', 1,"
            " jobu_now() - interval '40 days' FROM cron_jobs WHERE id = :job",
            job=job.id,
            number=number,
        )


def _contents(bench: PruneBench) -> list[object]:
    tables = ("job_executions", "dead_letters", "dispatch_skips", "jobu_meta", "audit_log")
    return [bench.run(f"SELECT t::text FROM {name} t ORDER BY 1") for name in tables]  # noqa: S608 - ours
