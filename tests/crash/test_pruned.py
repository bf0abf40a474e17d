"""Rows that rule 19 lets go are not needed again: what they stood for does not come back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa

from jobu_core.store.engine import transaction
from tests.crash.audit import violations_after_prune
from tests.crash.children import die
from tests.crash.dispatching import START, DispatchCase, Dispatcher, Site, Topic
from tests.crash.test_cron import add
from tests.fix_events import event

PRUNE = """
DELETE FROM dead_letters d WHERE EXISTS (
  SELECT FROM kafka_positions p
   WHERE (p.topic, p.generation, p.partition) = (d.topic, d.generation, d.partition)
     AND d."offset" < p.next_offset);
DELETE FROM job_executions e WHERE EXISTS (
  SELECT FROM kafka_positions p
   WHERE (p.topic, p.generation, p.partition)
       = (e.kafka_topic, e.kafka_generation, e.kafka_partition)
     AND e.kafka_offset < p.next_offset);
DELETE FROM job_executions e USING cron_jobs j
 WHERE j.id = e.job_id AND e.scheduled_time <= j.dispatched_until;
DELETE FROM dispatch_skips s USING cron_jobs j
 WHERE j.id = s.job_id AND coalesce(s.until, s.scheduled_time) <= j.dispatched_until
"""
"""Everything that rule 19 allows, however young."""

LEFT = """
SELECT (SELECT count(*) FROM job_executions), (SELECT count(*) FROM dead_letters),
       (SELECT count(*) FROM dispatch_skips)
"""


@pytest.mark.parametrize(
    "case",
    [
        DispatchCase("ingest.lock_taken", rules=(19,)),
        DispatchCase("ingest.positions_settled", rules=(19,)),
    ],
    ids=lambda case: case.point,
)
def test_what_was_decided_and_pruned_does_not_come_back(site: Site, case: DispatchCase) -> None:
    """Positions and watermarks remember it, through a death and a broker without commits."""
    add(site, "often")
    messages = (event(params={"n": 1}), b"{", event(params={"n": 2}))
    busy = replace(site, now=START + timedelta(hours=3, seconds=30), topic=Topic({0: messages}))
    with busy.process() as process:
        process.run_to_rest()
        process.audit(
            good=[("jobu-events", 0, 0), ("jobu-events", 0, 2)], bad=[("jobu-events", 0, 1)]
        )
    with psycopg.connect(site.url) as connection:
        connection.execute(PRUNE)
        assert connection.execute(LEFT).fetchone() == (0, 0, 0)
    die(case, busy.do, Dispatcher.ingest)
    busy.do(Dispatcher.run_to_rest)
    with psycopg.connect(site.url) as connection:
        assert connection.execute(LEFT).fetchone() == (0, 0, 0)


PRUNES = (
    DispatchCase("prune.folder_set_aside", rules=(19,)),
    DispatchCase("prune.portion_deleted", rules=(19,)),
    DispatchCase("prune.portion_deleted", rules=(19,), visit=3),
    DispatchCase("prune.portion_committed", rules=(19,), visit=2),
    DispatchCase("prune.portion_committed", rules=(19,), visit=4),
)


@pytest.mark.parametrize("case", PRUNES, ids=lambda case: f"{case.point}-{case.visit}")
def test_a_prune_that_dies_is_run_again_and_nothing_comes_back(
    site: Site, case: DispatchCase
) -> None:
    """Whole rows went or stayed; the message is there once more and makes no second execution."""
    add(site, "often")
    messages = (event(params={"n": 1}), b"{", event(params={"n": 2}))
    busy = replace(site, now=START + timedelta(hours=3, seconds=30), topic=Topic({0: messages}))
    busy.do(Dispatcher.run_to_rest)
    left = site.root / ".jobu" / "work" / "1"
    left.mkdir(parents=True, exist_ok=True)
    with psycopg.connect(site.url) as connection:
        assert connection.execute(LEFT).fetchone() == (5, 1, 0)
    later = replace(busy, now=START + timedelta(days=40))
    die(case, later.do, Dispatcher.prune)
    with later.process() as process, transaction(process.engine) as connection:
        assert violations_after_prune(connection) == []
        half = connection.scalar(sa.text("SELECT count(*) FROM job_executions"))
        assert half is not None
        assert half > 0
    later.do(Dispatcher.prune)
    with psycopg.connect(site.url) as connection:
        assert connection.execute(LEFT).fetchone() == (0, 1, 0)  # the letter is open
    assert list(left.parent.iterdir()) == []
    busy.do(Dispatcher.run_to_rest)
    with psycopg.connect(site.url) as connection:
        assert connection.execute(LEFT).fetchone() == (0, 1, 0)


def test_a_prune_beside_dispatchers_takes_nothing_that_they_need(site: Site) -> None:
    """Rows of today, and those that wait, are there after it; what follows is decided once."""
    add(site, "often")
    messages = (event(params={"n": 1}), event(params={"n": 2}))
    first = replace(site, now=START + timedelta(hours=1, seconds=30), topic=Topic({0: messages}))
    first.do(Dispatcher.run_to_rest)
    more = Topic({0: (*messages, event(params={"n": 3}))})
    second = replace(first, now=START + timedelta(hours=30), topic=more)
    with second.process() as process:
        process.beat()
        process.ingest()
        process.cron()
        waiting = process.jobs.count("PENDING")
        process.prune()
        assert process.jobs.count("SUCCESS") == 0
        assert process.jobs.count("PENDING") == waiting > 1
        process.run_to_rest()
        process.ingest()
        process.cron()
        assert process.jobs.count("SUCCESS") == waiting
        assert process.jobs.count("PENDING") == 0


@pytest.mark.rule(19)
def test_a_row_that_could_come_again_is_not_let_go(site: Site) -> None:
    """An undecided occurrence or unread message has no row yet: no batch ends between the two."""
    add(site, "often")
    due = replace(site, now=START + timedelta(hours=1, seconds=30))
    due.do(Dispatcher.cron)
    with psycopg.connect(site.url) as connection:
        connection.execute("UPDATE cron_jobs SET dispatched_until = created_at")  # a broken write
        connection.execute(PRUNE)
        assert connection.execute(LEFT).fetchone() == (1, 0, 0)
    due.do(Dispatcher.cron)
    with psycopg.connect(site.url) as connection:
        assert connection.execute(LEFT).fetchone() == (1, 0, 0)
