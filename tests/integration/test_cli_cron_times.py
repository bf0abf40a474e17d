"""``jobu cron explain``, ``lint`` and ``show``: what fires, what may surprise, what did not run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from jobu_core.errors import InvalidCron
from tests.fix_cron import Cron
from tests.integration.test_cli_cron import _added, jobu

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine
    from typer.testing import Result

__all__ = ["jobu"]


def _explained(jobu: Callable[..., Result], *arguments: str) -> dict[str, Any]:
    result = jobu("explain", *arguments, "--json")
    assert result.exit_code == 0, result.output
    explained: dict[str, Any] = json.loads(result.stdout)
    return explained


def _linted(jobu: Callable[..., Result], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    result = jobu("lint", *arguments, "--json")
    return result.exit_code, json.loads(result.stdout)


def test_an_expression_is_explained_before_it_is_saved(jobu: Callable[..., Result]) -> None:
    """Its fields, its next times in both clocks, its two clock changes of the year."""
    explained = _explained(jobu, "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "-n", "2")
    assert explained["job"] is None
    assert explained["follows_real_time"] is False
    assert [row["local"][10:16] for row in explained["next"]] == ["T02:30", "T02:30"]
    by_effect = {change["effect"]: change["times"] for change in explained["clock_changes"]}
    assert by_effect == {"fire once, at 03:00": 1, "fire in the first pass": 1}
    codes = {warning["code"] for warning in explained["warnings"]}
    assert codes == {"time_in_gap", "time_in_fold"}


@pytest.mark.parametrize(
    ("dst", "effects"),
    [
        ("skip", {"are skipped (gap)", "fire in the first pass"}),
        ("both", {"fire once, at 03:00", "fire in both passes"}),
    ],
)
def test_the_policy_decides_what_a_clock_change_does(
    jobu: Callable[..., Result],
    dst: str,
    effects: set[str],
) -> None:
    """The sentence is that of the policy asked for."""
    expression = ("--cron", "30 2 * * *", "--timezone", "Europe/Berlin")
    explained = _explained(jobu, *expression, "--dst", dst)
    assert {change["effect"] for change in explained["clock_changes"]} == effects


def test_a_saved_job_is_explained_with_its_own_zone(jobu: Callable[..., Result]) -> None:
    """In text: the record, then three lists; an alias is written out."""
    _added(jobu, "--timezone", "Asia/Seoul")
    assert jobu("edit", "daily", "--cron", "@hourly").exit_code == 0
    explained = jobu("explain", "daily").stdout
    for text in ("0 * * * *", "Asia/Seoul", "next:", "clock changes:\nnone", "warnings:\nnone"):
        assert text in explained


@pytest.mark.parametrize("command", ["explain", "lint"])
@pytest.mark.parametrize(
    "arguments",
    [("daily", "--cron", "@daily"), ("daily", "--dst", "skip"), ("--timezone", "UTC")],
)
def test_a_job_and_an_expression_are_not_mixed(
    jobu: Callable[..., Result],
    command: str,
    arguments: tuple[str, ...],
) -> None:
    """A usage error: which of the two was meant is not guessed."""
    assert jobu(command, *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--cron", "0 0 31 2 *"), "never comes"),
        (("--cron", "@daily", "--timezone", "Mars/Base"), "is unknown"),
        (("--cron", "@daily", "--dst", "never"), "known are standard, skip, both"),
    ],
)
def test_what_cannot_run_is_not_explained_and_fails_the_lint(
    jobu: Callable[..., Result],
    arguments: tuple[str, ...],
    why: str,
) -> None:
    """The same sentence from both; lint as a finding, with exit code 1."""
    assert isinstance(jobu("explain", *arguments).exception, InvalidCron)
    code, ((finding),) = _linted(jobu, *arguments)
    assert (code, finding["severity"], finding["code"]) == (1, "error", "invalid_cron")
    assert why in finding["message"]


def test_a_warning_does_not_fail_the_lint(jobu: Callable[..., Result]) -> None:
    """Ambiguous is allowed; it is told, and the exit code stays 0."""
    code, (finding,) = _linted(jobu, "--cron", "0 9 13 * 5")
    assert (code, finding["severity"], finding["code"]) == (0, "warning", "either_day_field")
    assert jobu("lint", "--cron", "0 9 * * *").stdout == "nothing to say\n"


def test_every_saved_job_is_linted(jobu: Callable[..., Result], engine: Engine) -> None:
    """Also a disabled one; what broke since it was saved is an error with the job's name."""
    _added(jobu, "--disabled")
    jobu("add", "friday", "--cron", "0 9 13 * 5", "--handler", "sample_handler")
    Cron(engine).write("UPDATE cron_jobs SET timezone = 'Mars/Base' WHERE name = 'daily'")
    code, findings = _linted(jobu)
    assert code == 1
    assert [(finding["job"], finding["severity"]) for finding in findings] == [
        ("daily", "error"),
        ("friday", "warning"),
    ]
    assert _linted(jobu, "friday") == (0, findings[1:])


def test_lint_finds_a_job_whose_handler_is_gone(
    jobu: Callable[..., Result],
    engine: Engine,
) -> None:
    """The whole job is checked as when it is saved, not its expression alone."""
    _added(jobu)
    Cron(engine).write("UPDATE cron_jobs SET handler_name = 'gone'")
    code, (finding,) = _linted(jobu)
    assert (code, finding["code"]) == (1, "handler_unknown")


def test_show_lists_what_did_not_run(jobu: Callable[..., Result], engine: Engine) -> None:
    """The newest skips with their reasons, in text and in JSON."""
    added = _added(jobu)
    assert "did not run" not in jobu("show", "daily").stdout
    Cron(engine).write(
        "INSERT INTO dispatch_skips (job_id, scheduled_time, until, count, reason, detail,"
        " revision) VALUES (:job, '2026-03-01 02:30Z', '2026-03-03 02:30Z', 3, 'disabled',"
        " NULL, 1), (:job, '2026-03-29 01:00Z', NULL, 1, 'gap', 'clocks went forward', 1)",
        job=added["id"],
    )
    shown = json.loads(jobu("show", "daily", "--json").stdout)
    assert [(skip["reason"], skip["count"]) for skip in shown["recent_skips"]] == [
        ("gap", 1),
        ("disabled", 3),
    ]
    assert shown["recent_skips"][1]["until"] == "2026-03-03T02:30:00+00:00"
    text = jobu("show", "daily").stdout
    assert "what did not run, newest first:" in text
    assert text.index("clocks went forward") < text.index("disabled")
