"""The in-memory twin of Dagster's runs, kept in a file so that a crash forgets nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID

from jobu_core.runs import RunState
from tests.fix_runs import MemoryRuns

if TYPE_CHECKING:
    from pathlib import Path


class KeptRuns(MemoryRuns):
    """Runs that every process sees as the last one left them."""

    def __init__(self, path: Path) -> None:
        """Keep the runs at ``path``."""
        super().__init__()
        self._path = path
        self._load()

    def add(self, token: UUID | None, state: RunState, run_id: str | None = None) -> str:
        """Make a run."""
        made = super().add(token, state, run_id)
        self._keep()
        return made

    def end(self, run_id: str, state: RunState) -> None:
        """Let an unfinished run end as its worker says."""
        self._report(run_id, state, "ended")

    def _report(self, run_id: str, state: RunState, message: str) -> None:
        super()._report(run_id, state, message)
        self._keep()

    def _reach(self) -> None:
        super()._reach()
        self._load()

    def _load(self) -> None:
        if self._path.exists():
            kept = json.loads(self._path.read_text())
            self.known = {run_id: RunState(state) for run_id, state in kept["known"].items()}
            self.first_run = {UUID(token): run_id for token, run_id in kept["first"].items()}

    def _keep(self) -> None:
        first = {str(token): run_id for token, run_id in self.first_run.items()}
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps({"known": self.known, "first": first}))
        beside.replace(self._path)
