"""What executing needs, opened once per process and handed down."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from jobu_core.clock import Clock, SystemClock
from jobu_core.execution.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Engine

    from jobu_core.config import Settings
    from jobu_core.handlers.base import Materialization
    from jobu_core.handlers.registry import Registry
    from jobu_core.pipeline.paths import Paths


class Sink(Protocol):
    """Where an attempt's output goes: the run's event log."""

    def emit(self, made: Materialization) -> None:
        """Record something that the handler made."""

    def log(self, message: str) -> None:
        """Write one line to the run's log."""

    def captured_output(self) -> AbstractContextManager[None]:
        """Send what is printed meanwhile to the run's log."""


@dataclass(frozen=True, slots=True)
class ExecutionRuntime:
    """Everything an attempt may use."""

    engine: Engine
    settings: Settings
    registry: Registry
    paths: Paths
    databases: Mapping[str, str]
    """Name → ``postgresql://`` URL of every configured database."""
    installation: str
    """The job store's own uuid."""
    clock: Clock = field(default_factory=SystemClock)
    backoff: Backoff = field(default_factory=lambda: Backoff(random.SystemRandom()))

    def work_dir(self, execution_id: int, attempt: int) -> Path:
        """Return the folder of one attempt; not made yet."""
        base = self.settings.root / self.settings.worker.work_dir
        return base / str(execution_id) / str(attempt)
