"""Staged handlers: one attempt over several ops (rule 15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from jobu_core.handlers.base import HandlerContext, StagedHandler
from jobu_core.models import Status
from tests.attempt_support import Bench

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy import Engine


class Stages(StagedHandler):
    """Three stages that note their order; ``broken`` raises."""

    stages: ClassVar[tuple[str, ...]] = ("one", "two", "three")
    broken: ClassVar[str] = ""
    ran: ClassVar[list[str]] = []

    def run_stage(
        self,
        stage: str,
        context: HandlerContext,
        params: Any,  # noqa: ANN401 - any params
        carried: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """Note the stage, and what was carried to it."""
        del context, params
        self.ran.append(stage)
        if stage == self.broken:
            raise ValueError(stage)
        return {stage: sorted(carried)}


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Bench:
    """Return a child that has executed nothing yet."""
    return Bench(engine, tmp_path)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> type[Stages]:
    """Return the staged handler, its notes empty."""
    monkeypatch.setattr(Stages, "ran", [])
    return Stages


def test_stages_run_in_turn_and_the_last_one_finishes(
    bench: Bench,
    stages: type[Stages],
) -> None:
    """Each stage is one call; RUNNING in between; results are carried on and merged."""
    attempt = bench.begin(stages())
    assert attempt.run_stage("one", bench.sink) is None
    assert attempt.run_stage("two", bench.sink) is None
    assert bench.jobs.row(attempt.execution.id).status is Status.RUNNING
    outcome = attempt.run_stage("three", bench.sink)
    assert outcome is not None
    assert outcome.result == {"one": [], "two": ["one"], "three": ["one", "two"]}
    assert bench.jobs.row(attempt.execution.id).status is Status.SUCCESS


def test_a_later_op_first_runs_the_stages_before_it(bench: Bench, stages: type[Stages]) -> None:
    """A re-execution of the last op alone does the whole work, each stage once."""
    attempt = bench.begin(stages())
    attempt.run_stage("two", bench.sink)
    assert attempt.run_stage("three", bench.sink) is not None
    assert stages.ran == ["one", "two", "three"]


def test_a_failed_stage_ends_the_attempt(
    bench: Bench,
    stages: type[Stages],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The row is settled at once, and a later stage changes nothing."""
    monkeypatch.setattr(stages, "broken", "two")
    attempt = bench.begin(stages())
    attempt.run_stage("one", bench.sink)
    outcome = attempt.run_stage("two", bench.sink)
    assert outcome is not None
    assert outcome.status is bench.jobs.row(attempt.execution.id).status is Status.PENDING
    assert attempt.run_stage("three", bench.sink) is outcome
    assert stages.ran == ["one", "two"]
    assert attempt.abandon(RuntimeError("late")) is None


def test_a_row_left_between_two_ops_is_settled(bench: Bench, stages: type[Stages]) -> None:
    """The framework failed in between: the attempt failed, and says why."""
    attempt = bench.begin(stages())
    attempt.run_stage("one", bench.sink)
    outcome = attempt.abandon(RuntimeError("the run ended before the execution did"))
    assert outcome is not None
    row = bench.jobs.row(attempt.execution.id)
    assert (row.status, row.error_type) == (Status.PENDING, "RuntimeError")
