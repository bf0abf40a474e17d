"""What the core asks of whoever carries its launches (Dagster), and no more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID

    from jobu_core.models import LaunchBatch


class RunState(StrEnum):
    """The state of a run, in Dagster's own words, and one that Dagster does not know."""

    NOT_STARTED = "NOT_STARTED"
    QUEUED = "QUEUED"
    STARTING = "STARTING"
    STRANDED = "STRANDED"
    """STARTING for Dagster, but not in the workers' queue: being taken, or lost with it."""
    STARTED = "STARTED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as seen now."""

    run_id: str
    state: RunState


class RunGateway(Protocol):
    """Runs by launch token; every method may raise Outage."""

    def runs_of(self, tokens: Collection[UUID]) -> Mapping[UUID, RunView]:
        """Return, per launch token, its run: the one tagged with it that has no parent."""

    def states(self, run_ids: Collection[str]) -> Mapping[str, RunState]:
        """Return the state of each run that exists."""

    def launch(self, batch: LaunchBatch) -> str:
        """Create a run with id = token and launch it at once; return the run id.

        A repeated token is refused by the carrier and returns the existing id.
        """

    def report_canceling(self, run_id: str, message: str) -> None:
        """Mark a run as being canceled; nothing if it has ended or does not exist."""

    def report_canceled(self, run_id: str, message: str) -> None:
        """Mark a run as canceled; nothing if it has ended or does not exist."""

    def report_failed(self, run_id: str, message: str) -> None:
        """Mark a run as failed, which frees its queue slot; nothing if it has ended."""
