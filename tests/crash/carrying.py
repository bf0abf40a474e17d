"""The carrier's side, each in a process of its own on a real Dagster: launch, terminate, run."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jobu_dagster.process
from jobu_dagster.launching import claim, request_runs
from jobu_dagster.private import open_instance
from jobu_dagster.process import Process
from jobu_dagster.retention import prune_runs
from jobu_dagster.runs import DagsterRunGateway

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def _enter(environment: Mapping[str, str]) -> Process:
    """Take over the test's environment: the fork server was started in another."""
    os.environ.clear()
    os.environ.update(environment)
    jobu_dagster.process._current = Process()
    return jobu_dagster.process._current


def launch(environment: Mapping[str, str], root: Path) -> None:
    """Be the long-lived dispatcher: launch what is due at once."""
    runtime = _enter(environment).runtime()
    with open_instance(root) as instance:
        gateway = DagsterRunGateway(instance, root, runtime.registry)
        for batch in claim(runtime).batches:
            gateway.launch(batch)


def tick(environment: Mapping[str, str]) -> None:
    """Be a sensor in the code server: claim, and ask the daemon for runs."""
    request_runs(_enter(environment).runtime())


def terminate(environment: Mapping[str, str], root: Path, run_id: str) -> None:
    """Be the web server: end a launched run as its button does."""
    _enter(environment)
    with open_instance(root) as instance:
        instance.run_launcher.terminate(run_id)


def cancel_queued(environment: Mapping[str, str], root: Path, run_id: str) -> None:
    """Be the web server: end a run that waits in Dagster's queue."""
    _enter(environment)
    with open_instance(root) as instance:
        instance.run_coordinator.cancel_run(run_id)


def prune(environment: Mapping[str, str], root: Path) -> None:
    """Be a person who takes away every run that has ended."""
    _enter(environment)
    with open_instance(root) as instance:
        prune_runs(
            instance,
            cutoff=datetime.now(UTC) + timedelta(hours=1),
            keep_materializations=1,
            in_use=lambda _runs: (),
            batch=10,
        )


def run_by_hand(environment: Mapping[str, str], root: Path, config: Mapping[str, Any]) -> None:
    """Be a worker's child that executes a Launchpad run of sample_handler."""
    runtime = _enter(environment).runtime()
    from jobu_dagster.definitions import build_definitions  # noqa: PLC0415 - reads the environment

    job = build_definitions(runtime.registry).resolve_job_def("sample_handler")
    with open_instance(root) as instance:
        job.execute_in_process(
            run_config={"resources": {"launch": {"config": dict(config)}}},
            instance=instance,
            raise_on_error=False,
        )
