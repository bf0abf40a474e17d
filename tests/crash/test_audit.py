"""The audit itself: it finds what is lost, doubled or stuck, and is silent when nothing is."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from tests.crash.audit import ALWAYS, audit_loads, violations
from tests.crash.dispatching import TOPIC, Dispatcher, Site, Topic
from tests.fix_events import event

GOOD = event(params={"n": 1})
ROW = "INSERT INTO job_executions (handler_name, param_source, trigger"
EVENT = f"{ROW}, kafka_topic, kafka_generation, kafka_partition, kafka_offset)"
JOB = """INSERT INTO cron_jobs (id, name, cron_expression, handler_name, dispatched_until)
OVERRIDING SYSTEM VALUE VALUES (1, 'job', '* * * * *', 'echo', '2026-03-02 00:00Z');"""
CRON = f"{JOB} {ROW}, job_id, scheduled_time)"
SERIAL = f"{ROW}, serial_key, status, lease_token)"
UNCHECKED = "ALTER TABLE job_executions DROP CONSTRAINT ck_job_executions_token_while_launched;"
LETTER = "UPDATE dead_letters SET"

BROKEN = {
    "a message is in the ledger twice": (
        f"{EVENT} VALUES ('echo', 'event', 'event', '{TOPIC}', 1, 0, 0)"
    ),
    "a partition's ledger does not add up to its position": (
        "UPDATE kafka_positions SET next_offset = next_offset + 1"
    ),
    "a message is in the ledger outside of what its position covers": (
        f"{EVENT} VALUES ('echo', 'event', 'event', '{TOPIC}', 1, 0, 7)"
    ),
    "an occurrence is in the ledger twice": (
        f"{CRON} VALUES ('echo', 'cron', 'schedule', 1, '2026-03-02 00:00Z');"  # noqa: S608 - constants of this test
        "INSERT INTO dispatch_skips (job_id, scheduled_time, until, count, reason, revision)"
        " VALUES (1, '2026-03-01 23:58Z', '2026-03-02 00:00Z', 3, 'misfired', 1)"
    ),
    "an occurrence is decided that its job's watermark does not cover": (
        f"{CRON} VALUES ('echo', 'cron', 'schedule', 1, '2026-03-02 00:01Z')"
    ),
    "a token is where no launch is, or is missing where one is": (
        f"{UNCHECKED} UPDATE job_executions SET lease_token = gen_random_uuid()"  # noqa: S608 - constants of this test
    ),
    "a row has ended without a time, or has a time without having ended": (
        "UPDATE job_executions SET finished_at = NULL"
    ),
    "a row had more attempts than it may have": (
        "UPDATE job_executions SET attempt = max_attempts + 1"
    ),
    "a serial key has two rows in flight": (
        "DROP INDEX uq_job_executions_serial_in_flight;"
        f"{SERIAL} VALUES ('echo', 'event', 'event', 'a', 'QUEUED', gen_random_uuid()),"
        "('echo', 'event', 'event', 'a', 'RUNNING', gen_random_uuid())"
    ),
    "a younger row of a serial key went before an older one": (
        f"{SERIAL} VALUES ('echo', 'event', 'event', 'a', 'PENDING', NULL),"
        "('echo', 'event', 'event', 'a', 'RUNNING', gen_random_uuid())"
    ),
    "a retry is there and the first execution of its chain is not": (
        f"{ROW}, root_execution_id) VALUES ('echo', 'event', 'retry', 99)"
    ),
    "a ledger of reloaded rejects is there and its chain is not": (
        "INSERT INTO jobu_meta VALUES ('reloaded:99', '{}')"
    ),
    "a dead letter's redrives and its executions differ": (
        f"{LETTER} status = 'redriven', redrive_count = 1"
    ),
    "a dead letter's settlements and the audit log differ": f"{LETTER} status = 'discarded'",
}


@pytest.fixture
def settled(site: Site) -> Site:
    """Return a site where one good and one bad message have found their end."""
    read = replace(site, topic=Topic({0: (GOOD, b"{")}))
    read.do(Dispatcher.run_to_rest)
    return read


def test_a_system_at_rest_passes(settled: Site) -> None:
    """One good message, one bad one, nothing else."""
    with settled.process() as process:
        process.audit(good=[(TOPIC, 0, 0)], bad=[(TOPIC, 0, 1)])


@pytest.mark.parametrize("promise", ALWAYS)
def test_each_broken_promise_is_found(settled: Site, promise: str) -> None:
    """The store is damaged in one way, and that way is named."""
    with psycopg.connect(settled.url) as connection:
        connection.execute(BROKEN[promise].encode())
    with settled.process() as process, process.engine.begin() as connection:
        assert [each for each in violations(connection) if each.startswith(promise)]


@pytest.mark.parametrize(
    ("good", "bad", "lost"),
    [([], [1], []), ([0], [], []), ([0, 1], [], []), ([0], [1], [2]), ([1], [0], [])],
)
def test_a_message_that_ended_otherwise_is_found(
    settled: Site, good: list[int], bad: list[int], lost: list[int]
) -> None:
    """Missing, unexpected, or another kind of end."""
    with settled.process() as process, pytest.raises(AssertionError, match="message"):
        process.audit(
            good=[(TOPIC, 0, offset) for offset in good],
            bad=[(TOPIC, 0, offset) for offset in bad],
            lost=[(TOPIC, 0, offset) for offset in lost],
        )


def test_what_has_not_ended_is_found(settled: Site) -> None:
    """A row that waits for ever is as bad as one that is lost."""
    with settled.process() as process:
        process.jobs.add()
        with pytest.raises(AssertionError, match="has not ended: id=2, handler_name=echo"):
            process.audit(good=[(TOPIC, 0, 0)], bad=[(TOPIC, 0, 1)])


def test_an_occurrence_that_is_missing_is_found(settled: Site) -> None:
    """The number of due occurrences is the test's own; the ledger must reach it."""
    with settled.process() as process, pytest.raises(AssertionError, match="job 1: 1 occurrence"):
        process.audit(good=[(TOPIC, 0, 0)], bad=[(TOPIC, 0, 1)], occurrences={1: 1})


@pytest.mark.parametrize(
    ("mode", "counted", "rows"),
    [("append", 2, 3), ("append", None, 2), ("replace", 3, 2), ("upsert", 2, 2)],
)
def test_rows_that_no_load_accounts_for_are_found(
    settled: Site, mode: str, counted: int | None, rows: int
) -> None:
    """A table with a row too many, and a manifest row that was committed unfinished."""
    with psycopg.connect(settled.url) as connection:
        connection.execute("CREATE TABLE items (id int)")
        connection.execute("INSERT INTO items SELECT generate_series(1, %s)", (rows,))
        connection.execute(
            "CREATE TABLE jobu_loads (load_id int, target text, mode text, rows int)"
        )
        connection.execute(
            "INSERT INTO jobu_loads VALUES (1, 'public.items', %s, %s)", (mode, counted)
        )
    with pytest.raises(AssertionError, match="items"):
        audit_loads(settled.url, "public.items")
