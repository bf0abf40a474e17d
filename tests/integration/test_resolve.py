"""What an event's job_id and handler_name lead to: base params, limits, refusals."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.event import CODES as DECODE_CODES
from jobu_core.dispatcher.queue.resolve import CODES
from jobu_core.errors import PathRefused
from jobu_core.models import Stage
from jobu_core.store.engine import transaction
from jobu_core.store.event_jobs import hold_jobs
from tests.fix_cron import Cron
from tests.fix_events import TOPIC, Events, event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobu_core.models import CronJob


@pytest.fixture
def job(events: Events) -> CronJob:
    """Save a cron job with params and limits of its own."""
    return Cron(events.engine, events.catalog).add(
        handler_params={"a": 1, "deep": {"x": 1, "y": 2}},
        max_retry=1,
        timeout_seconds=60,
        retry_backoff_seconds=7,
        is_enabled=False,
    )


def by_handler(events: Events) -> Events:
    """Return the same with the base taken from the handler's one cron job."""
    return events.configured(base_params="handler_name")


def test_the_events_params_win_key_by_key(events: Events, job: CronJob) -> None:
    """The merge is shallow: a nested object of the event replaces the base's."""
    events.send(event("echo", job_id=job.id, params={"deep": {"z": 3}, "b": None}))
    events.tick()
    assert events.params() == [{"a": 1, "deep": {"z": 3}, "b": None}]


def test_an_event_with_job_id_takes_the_jobs_limits(events: Events, job: CronJob) -> None:
    """Not its overlap rule; and a disabled job does not block it."""
    events.send(event(None, job_id=job.id))
    events.tick()
    (row,) = events.executions()
    assert (row.job_id, row.handler_name) == (job.id, "echo")
    assert (row.max_attempts, row.timeout_seconds, row.retry_backoff_seconds) == (2, 60, 7)
    assert row.serial_key is None


def test_params_are_validated_after_the_merge(events: Events, job: CronJob) -> None:
    """The handler sees base and event together."""
    events.send(event("echo", job_id=job.id, params={"b": 2}))
    events.tick()
    assert {"a": 1, "deep": {"x": 1, "y": 2}, "b": 2} in events.catalog.validated


def test_an_event_without_job_id_stands_alone(events: Events, job: CronJob) -> None:
    """The handler's cron job gives nothing unless the configuration says so."""
    events.send(event("echo", params={"b": 2}))
    events.tick()
    assert events.params() == [{"b": 2}]
    assert job.handler_params


def test_the_base_may_come_from_the_handlers_one_job(events: Events, job: CronJob) -> None:
    """As the predecessor did: the params only; the row refers to no job."""
    by_handler(events).send(event("echo", params={"a": 9}), event("other", params={"b": 2}))
    by_handler(events).tick()
    assert events.params() == [{"a": 9, "deep": {"x": 1, "y": 2}}, {"b": 2}]
    assert [row.job_id for row in events.executions()] == [None, None]
    assert job.id


def test_several_jobs_of_the_handler_are_ambiguous(events: Events, job: CronJob) -> None:
    """No guess; an event that names the job is not concerned."""
    Cron(events.engine, events.catalog).add(name="second")
    by_handler(events).send(event("echo"), event(None, job_id=job.id))
    by_handler(events).tick()
    assert events.codes() == ["ambiguous_base"]
    assert len(events.executions()) == 1


@pytest.mark.parametrize(
    ("value", "stage", "code"),
    [
        (event("echo", job_id=404), Stage.RESOLVE, "job_unknown"),
        (event(None, job_id=2**63 - 1), Stage.RESOLVE, "job_unknown"),
        (event("ech"), Stage.RESOLVE, "handler_unknown"),
        (event("echo", params={"bad": 1}), Stage.VALIDATE, "invalid_params"),
        (event("echo", params={"outside": 1}), Stage.VALIDATE, "path_refused"),
        (event("echo", params={"crash": 1}), Stage.VALIDATE, "check_failed"),
    ],
)
def test_what_cannot_be_resolved_is_a_dead_letter(
    events: Events,
    value: bytes,
    stage: Stage,
    code: str,
) -> None:
    """Each with its stage and code, whatever the handler's own check does."""

    def refuse(params: Mapping[str, Any]) -> str | None:
        if "crash" in params:
            raise KeyError("hunter2")
        if "outside" in params:
            raise PathRefused("/etc/passwd is not under a data root")
        return "params.bad: unknown" if "bad" in params else None

    events.catalog.refuse = refuse
    events.send(value, event("echo"))
    assert events.tick().consumed == 2
    (letter,) = events.letters()
    assert (letter.stage, letter.code) == (stage, code)
    assert "hunter2" not in letter.message
    assert len(events.executions()) == 1


def test_another_handler_than_the_jobs_is_a_mismatch(events: Events, job: CronJob) -> None:
    """The sender and the job disagree: a person decides."""
    events.send(event("other", job_id=job.id))
    events.tick()
    assert events.codes() == ["handler_mismatch"]


def test_a_job_whose_handler_left_the_registry_never_fails_a_tick(
    events: Events,
    job: CronJob,
) -> None:
    """Its events wait as dead letters until the handler is back."""
    events.catalog.names = ("other",)
    events.send(event(None, job_id=job.id))
    events.tick()
    assert events.codes() == ["handler_unknown"]


def test_placeholders_of_the_base_are_filled_by_the_messages_time(events: Events) -> None:
    """In the job's zone; the event's own text is never rendered."""
    job = Cron(events.engine, events.catalog).add(
        timezone="Asia/Seoul",
        handler_params={"file": "{scheduled_time:%Y%m%d}-{cron_name}.csv", "own": "{cron_name}"},
    )
    when = datetime(2026, 1, 1, 20, tzinfo=UTC)
    value = event(None, job_id=job.id, params={"own": "{scheduled_time:%Y}"})
    events.adapter().publish(TOPIC, [OutgoingMessage(value, timestamp=when)])
    events.tick()
    assert events.params() == [{"file": "20260102-job.csv", "own": "{scheduled_time:%Y}"}]


def test_a_placeholder_without_a_value_is_refused_unless_the_event_gives_the_param(
    events: Events,
) -> None:
    """An event has no interval; nobody gets a path with braces in it."""
    job = Cron(events.engine, events.catalog).add(
        handler_params={"since": "{interval_start:%Y%m%d}"},
    )
    events.send(event(None, job_id=job.id), event(None, job_id=job.id, params={"since": "now"}))
    events.tick()
    assert events.codes() == ["base_not_renderable"]
    assert events.params() == [{"since": "now"}]


def test_a_job_cannot_be_deleted_between_resolve_and_insert(events: Events, job: CronJob) -> None:
    """Deletion waits for the batch that refers to the job; a cron tick does not."""
    deleted = threading.Event()

    def delete() -> None:
        with transaction(events.engine) as connection:
            connection.execute(sa.text("DELETE FROM cron_jobs WHERE id = :id"), {"id": job.id})
        deleted.set()

    deleter = threading.Thread(target=delete)
    with transaction(events.engine) as holder:
        assert set(hold_jobs(holder, {job.id, 404})) == {job.id}
        with transaction(events.engine) as tick:
            tick.execute(
                sa.text("SELECT 1 FROM cron_jobs WHERE id = :id FOR NO KEY UPDATE NOWAIT"),
                {"id": job.id},
            )
        deleter.start()
        assert not deleted.wait(0.3)
    deleter.join(timeout=10)
    assert deleted.is_set()


def test_codes_of_the_stages_do_not_collide() -> None:
    """One code means one thing."""
    assert not set(CODES) & set(DECODE_CODES)
