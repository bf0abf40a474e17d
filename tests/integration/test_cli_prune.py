"""``jobu prune`` as typed, on a real store and Dagster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from jobu_admin.cli import build_app
from tests.prune_bench import PruneBench

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def jobu(project: Path) -> Callable[..., Result]:
    """Return a function that runs ``jobu prune`` in a project of its own."""
    del project

    def run(*arguments: object) -> Result:
        typed = ["prune", *(str(argument) for argument in arguments)]
        return CliRunner().invoke(build_app(), typed, catch_exceptions=False)

    return run


@pytest.fixture
def bench(engine: Engine, project: Path) -> PruneBench:
    """Return the store of that project."""
    return PruneBench(engine, project)


def test_prune_says_what_it_would_do_and_does_it(
    jobu: Callable[..., Result], bench: PruneBench
) -> None:
    """The dry run's figures are those of the run; afterwards nothing is left to do."""
    bench.ended()
    kept = bench.ended(days=3)
    said = json.loads(jobu("--dry-run", "--json").stdout)
    assert (said["dry_run"], said["executions"]) == (True, 1)
    assert len(bench.executions) == 2
    done = json.loads(jobu("--json").stdout)
    counts = [name for name in said if name not in {"dry_run", "ended_before"}]
    assert {name: done[name] for name in counts} == {name: said[name] for name in counts}
    assert bench.executions == {kept}
    with bench.engine.connect() as connection:
        who = connection.scalars(sa.text("SELECT what FROM audit_log")).all()
    assert who == ["prune"]
    assert "executions       0" in jobu().stdout


def test_an_age_on_the_command_line_wins(jobu: Callable[..., Result], bench: PruneBench) -> None:
    """Two days, in any of the units."""
    bench.ended(days=3)
    for age in ("4d", "96h", "1w"):
        assert json.loads(jobu("--older-than", age, "--json").stdout)["executions"] == 0
    assert json.loads(jobu("--older-than", "48h", "--json").stdout)["executions"] == 1


@pytest.mark.parametrize("age", ["23h", "0d", "30", "d", "-1d", "1.5d", "30 d", "1y", "٣d"])
def test_an_age_that_is_none_or_too_young_is_a_usage_error(
    jobu: Callable[..., Result], bench: PruneBench, age: str
) -> None:
    """Exit code 2, and nothing was deleted."""
    kept = bench.ended()
    result = jobu("--older-than", age)
    assert result.exit_code == 2
    assert bench.executions == {kept}
