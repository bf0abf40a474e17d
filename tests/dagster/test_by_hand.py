"""Runs that a person starts in Dagster get an execution of their own (rule 16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import jobu_dagster.process
from jobu_core.models import NewExecution, ParamSource, Status, Trigger
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution, insert_executions, list_executions
from jobu_dagster.definitions import build_definitions
from jobu_dagster.private import open_instance
from jobu_dagster.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import dagster as dg


class ByHand:
    """Executes jobs in this process, as the Launchpad and Re-execute would in a worker."""

    def __init__(self, process: Process, root: Path) -> None:
        """Use the project's own store and Dagster."""
        self.runtime = process.runtime()
        self.instance = open_instance(root)
        self.definitions = build_definitions(self.runtime.registry)

    def run(self, job: str, config: dict[str, Any]) -> dg.ExecuteInProcessResult:
        """Execute ``job`` with a launch config."""
        return self.definitions.resolve_job_def(job).execute_in_process(
            run_config={"resources": {"launch": {"config": config}}},
            instance=self.instance,
            raise_on_error=False,
        )


@pytest.fixture
def by_hand(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ByHand]:
    """Return an executor of hand-started runs."""
    own = Process()
    monkeypatch.setattr(jobu_dagster.process, "_current", own)
    yield ByHand(own, project)
    own.close()


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Return the message of the failed step."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.user_failure_data
    assert error is not None
    return error.description or ""


def test_launchpad_params_become_a_manual_execution(by_hand: ByHand) -> None:
    """The row is there before the handler runs, and says it was made by hand."""
    result = by_hand.run("sample_handler", {"params": {"key": "value"}})
    assert result.success
    with transaction(by_hand.runtime.engine) as connection:
        (row,) = list_executions(connection)
    assert (row.trigger, row.status) == (Trigger.MANUAL, Status.SUCCESS)
    assert row.params == {"key": "value"}
    assert row.run_id == result.run_id


def test_launchpad_without_anything_says_what_to_give(by_hand: ByHand) -> None:
    """One line, no row."""
    result = by_hand.run("sample_handler", {})
    assert not result.success
    assert "nothing to execute" in failure(result)
    with transaction(by_hand.runtime.engine) as connection:
        assert list_executions(connection) == []


def test_stale_token_ends_well_and_does_nothing(by_hand: ByHand) -> None:
    """A late run of a launch that was given up is SUCCESS, and its row is untouched."""
    new = NewExecution("sample_handler", {}, ParamSource.EVENT, Trigger.EVENT)
    with transaction(by_hand.runtime.engine) as connection:
        (made,) = insert_executions(connection, [new])
    assert made is not None
    stale = "00000000-0000-4000-8000-000000000000"
    result = by_hand.run("sample_handler", {"token": stale, "execution_ids": [made]})
    assert result.success
    with transaction(by_hand.runtime.engine) as connection:
        assert get_execution(connection, made).status is Status.PENDING


def test_unknown_cron_job_is_named(by_hand: ByHand) -> None:
    """A Launchpad run of a cron job that does not exist fails with its name."""
    result = by_hand.run("sample_handler", {"cron": "nightly"})
    assert "nightly" in failure(result)


@pytest.mark.parametrize(
    ("job", "params", "fused"),
    [
        ("pipeline_fused", {}, True),
        ("pipeline", {"fused": True}, True),
        ("pipeline_fused", {"fused": False}, False),
    ],
)
def test_a_pipeline_is_one_handler_in_either_job(
    by_hand: ByHand, job: str, params: dict[str, Any], *, fused: bool
) -> None:
    """The job pipeline_fused asks for one stream; whichever job it is, the params decide."""
    result = by_hand.run(job, {"params": {"dataset": "sample", **params}})
    assert result.success
    with transaction(by_hand.runtime.engine) as connection:
        (row,) = list_executions(connection)
    assert (row.handler_name, row.status) == ("pipeline", Status.SUCCESS)
    assert isinstance(row.result, dict)
    assert row.result["load"]["rows"] == 100
    assert ("file" in row.result["validate"]) is not fused
    made = [event.asset_key for event in result.all_events if event.is_step_materialization]
    assert [key.path[-1] for key in made if key is not None] == ["parquet", "valid", "sample"]
