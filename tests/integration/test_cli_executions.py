"""``jobu executions …`` as typed, on a real store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from jobu_admin.cli.executions import app
from jobu_core.config import load_settings
from jobu_core.errors import Conflict, NotFound
from jobu_core.handlers.registry import load_registry
from jobu_core.models import ParamSource, Status, Trigger
from jobu_core.pipeline.meter import Progress
from jobu_core.store.engine import transaction
from jobu_core.store.schema import audit_log, cron_jobs
from jobu_core.store.workers import beat
from tests.launch_support import Jobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

_CONFIG = Path(__file__).resolve().parents[2] / "config"
_HANDLER = "sample_handler"


@pytest.fixture
def jobu(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
) -> Callable[..., Result]:
    """Return a function that runs ``jobu executions`` in a project of its own."""
    shutil.copytree(_CONFIG, tmp_path / "config")
    monkeypatch.setenv("JOBU_ROOT", str(tmp_path))
    monkeypatch.setenv("JOBU_STACK", "external")
    monkeypatch.setenv("JOBU_DATABASE_URL", database_url)
    monkeypatch.setenv("JOBU_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()

    def run(*arguments: object) -> Result:
        return runner.invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    """Return shortcuts on the store the command uses."""
    return Jobs(engine)


def _json(result: Result) -> Any:  # noqa: ANN401 - JSON's own shapes
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_empty_store_lists_nothing(jobu: Callable[..., Result]) -> None:
    """People read a sentence, programs an empty array."""
    assert jobu("list").stdout == "no executions\n"
    assert _json(jobu("list", "--json")) == []


def test_list_filters_pages_and_says_the_source(jobu: Callable[..., Result], jobs: Jobs) -> None:
    """Every filter narrows; the newest comes first."""
    with jobs.engine.begin() as connection:
        job_id = connection.execute(
            cron_jobs.insert()
            .values(name="daily", cron_expression="0 0 * * *", handler_name="x")
            .returning(cron_jobs.c.id),
        ).scalar_one()
    event = jobs.add(handler_name=_HANDLER)
    cron = jobs.add(
        handler_name="x",
        job_id=job_id,
        param_source=ParamSource.CRON,
        trigger=Trigger.SCHEDULE,
    )

    def ids(*arguments: object) -> list[int]:
        return [row["id"] for row in _json(jobu("list", "--json", *arguments))]

    assert ids() == [cron, event]
    assert ids("--job", "daily") == ids("--source", "cron") == ids("--handler", "x") == [cron]
    assert ids("--status", "pending", "--limit", 1, "--before", cron) == [event]
    assert ids("--status", "FAILED") == []
    (row,) = _json(jobu("list", "--json", "--source", "event"))
    assert (row["status"], row["param_source"], row["attempts"]) == ("PENDING", "event", "0/4")
    assert "daily" not in jobu("list").stdout
    assert _HANDLER in jobu("list").stdout


def test_an_unknown_status_is_a_usage_error(jobu: Callable[..., Result]) -> None:
    """Exit code 2, and the known ones are named."""
    result = jobu("list", "--status", "DONE")
    assert result.exit_code == 2
    assert "timeout" in result.output


def test_show_tells_attempts_times_and_the_error(jobu: Callable[..., Result], jobs: Jobs) -> None:
    """What a person needs after a failure is there; what is empty is left out."""
    started = jobs.running()
    jobs.change(
        started.id,
        status="FAILED",
        lease_token=None,
        finished_at=sa.func.jobu_now(),
        error_type="ValueError",
        error_message="no such file",
        reason="handler_error",
        progress={"rows": 5},
    )
    shown = _json(jobu("show", started.id, "--json"))
    assert (shown["attempts"], shown["error_type"], shown["waits"]) == ("1/4", "ValueError", None)
    assert shown["progress"] == {"rows": 5}
    assert shown["seconds"] >= 0
    text = jobu("show", started.id).stdout
    assert "no such file" in text
    assert "waits" not in text
    assert "kafka_topic" not in text


def test_show_tells_how_far_a_running_execution_is(jobu: Callable[..., Result], jobs: Jobs) -> None:
    """A line for a person, every figure for a program."""
    measured = Progress("load", 500_000, 2_000_000, 25_000_000, 100_000_000, 10.0).as_json()
    running = jobs.running()
    jobs.change(running.id, progress=measured)
    assert "load: 500,000 of 2,000,000 rows, 25.0 of 100.0 MB" in jobu("show", running.id).stdout
    assert _json(jobu("show", running.id, "--json"))["progress"] == measured


def test_an_unknown_execution_is_one_error(jobu: Callable[..., Result]) -> None:
    """The command raises NotFound, which main prints as one line."""
    for arguments in (["show", 99], ["retry", 99], ["cancel", 99]):
        assert isinstance(jobu(*arguments).exception, NotFound)


def _waits(jobu: Callable[..., Result], row_id: int) -> str:
    return str(_json(jobu("show", row_id, "--json"))["waits"])


def _worker(jobs: Jobs, code_version: str, *, slots: int = 1) -> None:
    with transaction(jobs.engine) as connection:
        beat(
            connection,
            worker_id="w",
            host="h",
            main_pid=1,
            slots=slots,
            code_version=code_version,
            draining=False,
        )


def test_show_says_why_an_execution_waits(jobu: Callable[..., Result], jobs: Jobs) -> None:
    """Each reason in turn, from an unknown handler to a full window."""
    unknown = jobs.add(handler_name="sampel_handler")
    assert "no handler named 'sampel_handler'" in _waits(jobu, unknown)
    row_id = jobs.add(handler_name=_HANDLER, serial_key="k")
    assert "no live worker" in _waits(jobu, row_id)
    _worker(jobs, "old")
    assert "another code version" in _waits(jobu, row_id)
    settings = load_settings()
    _worker(jobs, load_registry(settings.handlers, settings.datasets).code_version)
    assert "next tick" in _waits(jobu, row_id)
    younger = jobs.add(handler_name=_HANDLER, serial_key="k")
    assert f"execution {row_id} of the same serial key" in _waits(jobu, younger)
    jobs.change(row_id, next_attempt_at=sa.text("jobu_now() + interval '1 hour'"), reason="retry")
    assert "due again in 3" in _waits(jobu, row_id)
    for _ in range(2):
        full = jobs.add()
        jobs.change(full, status="QUEUED", lease_token=sa.func.gen_random_uuid())
    assert "waits for a worker" in _waits(jobu, full)
    blocked = jobs.add(handler_name=_HANDLER)
    assert "2 launches are in flight on 1 slots" in _waits(jobu, blocked)


def test_retry_makes_a_new_execution(jobu: Callable[..., Result], jobs: Jobs) -> None:
    """Its id is printed, and who asked and why is kept."""
    started = jobs.running()
    assert isinstance(jobu("retry", started.id).exception, Conflict)
    jobs.change(started.id, status="FAILED", lease_token=None)
    made = _json(jobu("retry", started.id, "--why", "file is there now", "--json"))["execution_id"]
    assert jobs.row(made).root_execution_id == started.id
    assert f"execution {made + 1} is pending" in jobu("retry", started.id).stdout
    with jobs.engine.connect() as connection:
        audit = connection.execute(sa.select(audit_log).order_by(audit_log.c.id)).first()
    assert audit is not None
    assert (audit.who, audit.what, audit.why) == ("ada", "execution.retry", "file is there now")


def test_cancel_ends_a_waiting_one_and_asks_for_a_running_one(
    jobu: Callable[..., Result],
    jobs: Jobs,
) -> None:
    """The answer says which of the two it was; an ended one is a Conflict."""
    running = jobs.running()
    waiting = jobs.add()
    assert "is canceled" in jobu("cancel", waiting, "--reason", "mistake").stdout
    assert jobs.row(waiting).status is Status.CANCELED
    assert jobs.row(waiting).cancel_reason == "mistake"
    assert isinstance(jobu("cancel", waiting).exception, Conflict)
    assert _json(jobu("cancel", running.id, "--json")) == {
        "execution_id": running.id,
        "status": "RUNNING",
    }
    assert "will be ended by its worker" in jobu("cancel", running.id).stdout
