"""``jobu cron …`` as typed, on a real store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from jobu_admin.cli.cron import app
from jobu_core.errors import InvalidCron, InvalidParams, JobuError, NotFound
from tests.fix_cron import Cron

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

_CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture
def jobu(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
) -> Callable[..., Result]:
    """Return a function that runs ``jobu cron`` with arguments in a project of its own."""
    shutil.copytree(_CONFIG, tmp_path / "config")
    monkeypatch.setenv("JOBU_ROOT", str(tmp_path))
    monkeypatch.setenv("JOBU_STACK", "external")
    monkeypatch.setenv("JOBU_DATABASE_URL", database_url)
    monkeypatch.setenv("JOBU_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.setenv("COLUMNS", "200")
    runner = CliRunner()

    def run(*arguments: str) -> Result:
        return runner.invoke(app, list(arguments))

    return run


def _added(jobu: Callable[..., Result], *more: str) -> dict[str, Any]:
    result = jobu(
        *("add", "daily", "--cron", "30 2 * * *", "--handler", "sample_handler", "--json"),
        *more,
    )
    assert result.exit_code == 0, result.output
    added: dict[str, Any] = json.loads(result.stdout)
    return added


def test_a_job_is_added_with_every_option(jobu: Callable[..., Result], engine: Engine) -> None:
    """Each option lands in its column."""
    added = _added(
        jobu,
        *("--params", '{"key": "{cron_name}"}', "--timezone", "Europe/Berlin"),
        *("--description", "d", "--overlap", "queue_one", "--misfire", "all"),
        *("--misfire-grace", "60", "--dst", "standard", "--max-retry", "1"),
        *("--retry-backoff", "2", "--timeout", "30", "--disabled"),
    )
    job = Cron(engine).job("daily")
    assert added["id"] == job.id
    assert job.handler_params == {"key": "{cron_name}"}
    assert (job.timezone, job.description, job.is_enabled) == ("Europe/Berlin", "d", False)
    assert (job.overlap_policy, job.misfire_policy) == ("queue_one", "all")
    assert (job.misfire_grace_seconds, job.max_retry) == (60, 1)
    assert (job.retry_backoff_seconds, job.timeout_seconds) == (2, 30)
    assert Cron(engine).query("SELECT who, what FROM audit_log") == [("ada", "cron.add")]


def test_an_edit_changes_only_what_is_given(jobu: Callable[..., Result], engine: Engine) -> None:
    """The rest stays, the revision rises; nothing given is a usage error."""
    _added(jobu, "--params", '{"a": 1}', "--max-retry", "7")
    result = jobu("edit", "daily", "--rename", "nightly", "--cron", "0 3 * * *")
    assert result.exit_code == 0, result.output
    job = Cron(engine).job("nightly")
    assert (job.cron_expression, job.max_retry, job.revision) == ("0 3 * * *", 7, 2)
    assert job.handler_params == {"a": 1}
    assert jobu("edit", "nightly").exit_code == 2


def test_params_come_from_a_file_too(
    jobu: Callable[..., Result],
    engine: Engine,
    tmp_path: Path,
) -> None:
    """``@FILE`` reads it."""
    (tmp_path / "p.json").write_text('{"from": "file"}')
    _added(jobu, "--params", f"@{tmp_path / 'p.json'}")
    assert Cron(engine).job("daily").handler_params == {"from": "file"}


@pytest.mark.parametrize("params", ["{", "[1]", "1", "@/no/such/file", "[" * 100_000])
def test_params_that_are_no_json_object_are_a_usage_error(
    jobu: Callable[..., Result],
    params: str,
) -> None:
    """Exit code 2, nothing saved."""
    result = jobu("add", "x", "--cron", "@daily", "--handler", "sample_handler", "--params", params)
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--cron", "0 0 31 2 *"), InvalidCron),
        (("--cron", "@daily", "--timezone", "Mars/Base"), InvalidCron),
        (("--cron", "@daily", "--overlap", "sometimes"), InvalidCron),
        (("--cron", "@daily", "--dst", "never"), InvalidCron),
        (("--cron", "@daily", "--params", '{"x": "{nope}"}'), InvalidParams),
    ],
)
def test_what_cannot_run_is_refused(
    jobu: Callable[..., Result],
    arguments: tuple[str, ...],
    error: type[JobuError],
) -> None:
    """The error that ``main`` turns into one line and exit code 1."""
    result = jobu("add", "x", "--handler", "sample_handler", *arguments)
    assert isinstance(result.exception, error)


def test_list_is_a_table_or_a_json_array(jobu: Callable[..., Result]) -> None:
    """Filters narrow it; a disabled job has no next fire time."""
    assert jobu("list").stdout == "no cron jobs\n"
    assert json.loads(jobu("list", "--json").stdout) == []
    _added(jobu)
    (listed,) = json.loads(jobu("list", "--enabled", "--json").stdout)
    assert (listed["name"], listed["problem"]) == ("daily", None)
    assert listed["next_fire"].endswith("02:30:00+00:00")
    assert "daily" in jobu("list").stdout
    assert json.loads(jobu("list", "--handler", "other", "--json").stdout) == []
    jobu("disable", "daily")
    assert json.loads(jobu("list", "--enabled", "--json").stdout) == []
    (listed,) = json.loads(jobu("list", "--disabled", "--json").stdout)
    assert listed["next_fire"] is None


def test_show_names_the_problem_of_a_broken_row(
    jobu: Callable[..., Result],
    engine: Engine,
) -> None:
    """A row that cannot be scheduled can still be looked at."""
    _added(jobu)
    Cron(engine).write("UPDATE cron_jobs SET timezone = 'Mars/Base'")
    shown = json.loads(jobu("show", "daily", "--json").stdout)
    assert "Mars/Base" in shown["problem"]
    assert "problem" in jobu("show", "daily").stdout


def test_next_prints_zone_and_utc(jobu: Callable[..., Result]) -> None:
    """As many as asked for, in both clocks."""
    _added(jobu, "--timezone", "Asia/Seoul")
    rows = json.loads(jobu("next", "daily", "-n", "3", "--json").stdout)
    assert len(rows) == 3
    for row in rows:
        assert row["local"].endswith("T02:30:00+09:00")
        assert row["utc"].endswith("T17:30:00+00:00")
    assert "17:30:00Z" in jobu("next", "daily").stdout


def test_next_of_a_disabled_job_says_so(jobu: Callable[..., Result]) -> None:
    """On stderr, so that the listing stays one."""
    _added(jobu, "--disabled")
    result = jobu("next", "daily", "--json")
    assert len(json.loads(result.stdout)) == 5
    assert "none of these will run" in result.stderr


def test_run_makes_a_pending_execution(jobu: Callable[..., Result], engine: Engine) -> None:
    """It prints the id to look for."""
    _added(jobu)
    made = json.loads(jobu("run", "daily", "--json").stdout)["execution_id"]
    (row,) = Cron(engine).executions()
    assert (row.id, row.trigger, row.status) == (made, "manual", "PENDING")
    assert f"execution {made + 1} is pending" in jobu("run", "daily").stdout


def test_switching_and_deleting(jobu: Callable[..., Result], engine: Engine) -> None:
    """Each says what it did; a job that is gone is not found."""
    added = _added(jobu)
    assert f"disabled cron job {added['id']} 'daily'" in jobu("disable", "daily").stdout
    assert Cron(engine).job("daily").is_enabled is False
    assert jobu("enable", str(added["id"])).exit_code == 0
    assert Cron(engine).job("daily").is_enabled is True
    assert jobu("delete", "daily").exit_code == 0
    assert isinstance(jobu("show", "daily").exception, NotFound)
