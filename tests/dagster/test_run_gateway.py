"""Runs launched without Dagster's queue: once per token, found again by it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from jobu_core.models import LaunchBatch, ParamSource
from jobu_core.runs import RunState
from jobu_dagster.private import open_instance
from jobu_dagster.process import Process
from jobu_dagster.runs import DagsterRunGateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def gateway(project: Path) -> Iterator[DagsterRunGateway]:
    """Return a gateway on the project's own Dagster; no worker takes its runs."""
    process = Process()
    with open_instance(project) as instance:
        yield DagsterRunGateway(instance, project, process.runtime().registry)
    process.close()


def batch() -> LaunchBatch:
    """Return a launch of one row."""
    return LaunchBatch(uuid4(), "sample_handler", (1,), ParamSource.EVENT)


def test_a_launched_run_is_found_by_its_token(gateway: DagsterRunGateway) -> None:
    """Its id is the token; it waits for a worker as STARTING."""
    launch = batch()
    assert gateway.launch(launch) == str(launch.token)
    view = gateway.runs_of([launch.token])[launch.token]
    assert (view.run_id, view.state) == (str(launch.token), RunState.STARTING)
    assert gateway.states([view.run_id]) == {view.run_id: RunState.STARTING}


def test_a_fused_launch_is_a_run_of_the_second_job(
    gateway: DagsterRunGateway, project: Path
) -> None:
    """Under which the UI shows it, with one op."""
    launch = LaunchBatch(uuid4(), "pipeline", (1,), ParamSource.EVENT, fused=True)
    run_id = gateway.launch(launch)
    with open_instance(project) as instance:
        run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.job_name == "pipeline_fused"
    assert run.tags["jobu/handler"] == "pipeline"


def test_a_repeated_launch_sends_nothing_again(gateway: DagsterRunGateway) -> None:
    """The second call meets the existing run and leaves it as it is."""
    launch = batch()
    first = gateway.launch(launch)
    gateway.report_canceled(first, "enough")
    assert gateway.launch(launch) == first
    assert gateway.states([first]) == {first: RunState.CANCELED}


def test_an_ended_run_is_not_reported_again(gateway: DagsterRunGateway) -> None:
    """A canceled run does not become failed, and a missing one is nobody's problem."""
    run_id = gateway.launch(batch())
    gateway.report_canceling(run_id, "soon")
    gateway.report_canceled(run_id, "enough")
    gateway.report_failed(run_id, "too late")
    assert gateway.states([run_id]) == {run_id: RunState.CANCELED}
    gateway.report_failed(str(uuid4()), "never was")


def test_unknown_tokens_have_no_run(gateway: DagsterRunGateway) -> None:
    """Nothing is made up for a token without a run."""
    assert gateway.runs_of([uuid4()]) == {}
    assert gateway.runs_of([]) == {}
    assert gateway.states([]) == {}
