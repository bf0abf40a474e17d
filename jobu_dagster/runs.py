"""Dagster's runs as the core sees them: by launch token, and launched directly."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from uuid import UUID

import sqlalchemy as sa
from celery.exceptions import OperationalError as BrokerError
from dagster import DagsterInstance, DagsterRun, RunsFilter

from jobu_core.crash_points import reach
from jobu_core.errors import Outage, StoreUnavailable
from jobu_core.runs import RunState, RunView
from jobu_dagster import tags
from jobu_dagster.private import (
    DagsterRunAlreadyExists,
    job_code_origin,
    remote_job_origin,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from dagster import JobDefinition

    from jobu_core.handlers.registry import Registry
    from jobu_core.models import LaunchBatch

_UNFINISHED = frozenset(
    {
        RunState.NOT_STARTED,
        RunState.QUEUED,
        RunState.STARTING,
        RunState.STARTED,
        RunState.CANCELING,
    },
)


def run_config(batch: LaunchBatch) -> dict[str, Any]:
    """Return the config of the run that carries ``batch``: ids and the token, no payload."""
    return {
        "resources": {
            "launch": {
                "config": {
                    "token": str(batch.token),
                    "execution_ids": list(batch.execution_ids),
                },
            },
        },
    }


def run_tags(batch: LaunchBatch) -> dict[str, str]:
    """Return the tags of the run that carries ``batch``."""
    return {
        tags.LAUNCH: str(batch.token),
        tags.HANDLER: batch.handler,
        tags.SOURCE: batch.source.value,
    }


@runtime_checkable
class KnowsItsQueue(Protocol):
    """A run launcher that can say what still waits in the workers' queue."""

    def waiting(self, run_ids: Collection[str]) -> Collection[str]:
        """Return those of the runs that wait for a worker; all of them when it cannot tell."""


class DagsterRunGateway:
    """A RunGateway on a Dagster instance.

    Errors of Dagster's database come out as StoreUnavailable, so that nothing is
    concluded about a run that could not be read.
    """

    def __init__(self, instance: DagsterInstance, root: Path, registry: Registry) -> None:
        """Use ``instance``; ``root`` is the project's folder, ``registry`` says which jobs."""
        self._instance = instance
        self._root = root
        self._registry = registry
        self._jobs: dict[str, JobDefinition] = {}

    def runs_of(self, tokens: Collection[UUID]) -> Mapping[UUID, RunView]:
        """Return each token's run: tagged with it, without a parent run.

        A re-execution by a person launches under a token equal to its run id.
        """
        if not tokens:
            return {}
        wanted = [str(token) for token in tokens]
        with outages():
            tagged = self._instance.get_runs(RunsFilter(tags={tags.LAUNCH: wanted}))
            named = self._instance.get_runs(RunsFilter(run_ids=wanted))
        states = self._states((*named, *tagged))
        found = {UUID(run.run_id): RunView(run.run_id, states[run.run_id]) for run in named}
        for run in tagged:
            if run.parent_run_id is None:
                view = RunView(run.run_id, states[run.run_id])
                found.setdefault(UUID(run.tags[tags.LAUNCH]), view)
        return found

    def states(self, run_ids: Collection[str]) -> Mapping[str, RunState]:
        """Return the state of each run that exists."""
        if not run_ids:
            return {}
        with outages():
            runs = self._instance.get_runs(RunsFilter(run_ids=list(run_ids)))
        return self._states(runs)

    def _states(self, runs: Sequence[DagsterRun]) -> Mapping[str, RunState]:
        """Return the states; a STARTING run that is not in the workers' queue is STRANDED."""
        states = {run.run_id: RunState(run.status.value) for run in runs}
        starting = [run_id for run_id, state in states.items() if state is RunState.STARTING]
        launcher = self._instance.run_launcher
        if starting and isinstance(launcher, KnowsItsQueue):
            gone = set(starting) - set(launcher.waiting(starting))
            states |= dict.fromkeys(gone, RunState.STRANDED)
        return states

    def launch(self, batch: LaunchBatch) -> str:
        """Create the run with id = token and launch it without Dagster's queue."""
        run_id = str(batch.token)
        job = self._job(batch.job)
        with outages():
            try:
                self._instance.create_run_for_job(
                    job,
                    run_id=run_id,
                    run_config=run_config(batch),
                    tags=run_tags(batch),
                    remote_job_origin=remote_job_origin(job.name, str(self._root)),
                    job_code_origin=job_code_origin(job.name, str(self._root)),
                )
            except DagsterRunAlreadyExists:
                return run_id
            reach("launch.run_created")
            self._instance.launch_run(run_id, None)  # type: ignore[arg-type]
            reach("launch.run_launched")
        return run_id

    def _job(self, name: str) -> JobDefinition:
        from jobu_dagster.jobs import build_job  # noqa: PLC0415 - a job's resource imports this module

        if name not in self._jobs:
            handler = self._registry.get(self._registry.handler_of_job(name))
            self._jobs[name] = build_job(handler, fused=name != handler.name)
        return self._jobs[name]

    def report_canceling(self, run_id: str, message: str) -> None:
        """Mark an unfinished run as being canceled."""
        with outages():
            run = self._unfinished(run_id)
            if run is not None and run.status.value != RunState.CANCELING:
                self._instance.report_run_canceling(run, message=message)

    def report_canceled(self, run_id: str, message: str) -> None:
        """Mark an unfinished run as canceled."""
        with outages():
            run = self._unfinished(run_id)
            if run is not None:
                self._instance.report_run_canceled(run, message=message)

    def report_failed(self, run_id: str, message: str) -> None:
        """Mark an unfinished run as failed, which frees its queue slot."""
        with outages():
            run = self._unfinished(run_id)
            if run is not None:
                self._instance.report_run_failed(run, message=message)

    def _unfinished(self, run_id: str) -> DagsterRun | None:
        run = self._instance.get_run_by_id(run_id)
        if run is None or RunState(run.status.value) not in _UNFINISHED:
            return None
        return run


@contextmanager
def outages() -> Iterator[None]:
    """Say that Dagster's database is away instead of raising its driver's error."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
        msg = f"Dagster's storage is unavailable: {type(error).__name__}"
        raise StoreUnavailable(msg) from error
    except BrokerError as error:
        msg = f"the workers' broker is unavailable: {type(error).__name__}"
        raise Outage(msg) from error
