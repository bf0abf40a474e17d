"""Runs without Dagster: an in-memory twin of RunGateway that a test can steer and read."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from jobu_core.runs import RunState, RunView

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID

    from jobu_core.errors import Outage
    from jobu_core.models import LaunchBatch

ENDED = frozenset({RunState.SUCCESS, RunState.FAILURE, RunState.CANCELED})


class MemoryRuns:
    """Keeps runs by id; ``outage`` makes every call raise it."""

    def __init__(self) -> None:
        """Know no run."""
        self.known: dict[str, RunState] = {}
        self.first_run: dict[UUID, str] = {}
        self.launched: list[LaunchBatch] = []
        self.messages: dict[str, list[str]] = {}
        self.outage: Outage | None = None

    def add(self, token: UUID | None, state: RunState, run_id: str | None = None) -> str:
        """Make a run of ``token`` as a tick would (None: one that belongs to no launch)."""
        made = run_id or str(uuid4())
        self.known[made] = state
        if token is not None:
            self.first_run.setdefault(token, made)
        return made

    def runs_of(self, tokens: Collection[UUID]) -> Mapping[UUID, RunView]:
        """Return the first run of each token."""
        self._reach()
        found = {token: self.first_run[token] for token in tokens if token in self.first_run}
        return {token: RunView(run_id, self.known[run_id]) for token, run_id in found.items()}

    def states(self, run_ids: Collection[str]) -> Mapping[str, RunState]:
        """Return the states of the runs that exist."""
        self._reach()
        return {run_id: self.known[run_id] for run_id in run_ids if run_id in self.known}

    def launch(self, batch: LaunchBatch) -> str:
        """Make a STARTED run with id = token, once."""
        self._reach()
        run_id = str(batch.token)
        if run_id not in self.known:
            self.add(batch.token, RunState.STARTED, run_id)
            self.launched.append(batch)
        return run_id

    def report_canceling(self, run_id: str, message: str) -> None:
        """Mark an unfinished run as being canceled."""
        self._report(run_id, RunState.CANCELING, message)

    def report_canceled(self, run_id: str, message: str) -> None:
        """Mark an unfinished run as canceled."""
        self._report(run_id, RunState.CANCELED, message)

    def report_failed(self, run_id: str, message: str) -> None:
        """Mark an unfinished run as failed."""
        self._report(run_id, RunState.FAILURE, message)

    def _report(self, run_id: str, state: RunState, message: str) -> None:
        self._reach()
        if self.known.get(run_id) not in {None, *ENDED}:
            self.known[run_id] = state
            self.messages.setdefault(run_id, []).append(message)

    def _reach(self) -> None:
        if self.outage is not None:
            raise self.outage


@pytest.fixture
def runs() -> MemoryRuns:
    """Return a gateway that knows no run."""
    return MemoryRuns()
