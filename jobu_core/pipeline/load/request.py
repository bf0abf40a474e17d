"""What a load is asked to do and what became of it; values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from jobu_core.pipeline.meter import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.source import LoadInput
    from jobu_core.pipeline.meter import Meter


class Mode(StrEnum):
    """What happens to the rows that are already there."""

    APPEND = "append"
    REPLACE = "replace"
    UPSERT = "upsert"
    """Rows with the same keys are changed, the others stay."""


class Strategy(StrEnum):
    """How a replace gets the new rows in place of the old."""

    AUTO = "auto"
    """``swap`` where everything can be carried over and nothing depends on the
    table, else ``delete``."""
    SWAP = "swap"
    """Load beside, rename; an error where that is not possible."""
    DELETE = "delete"
    """DELETE + COPY in one transaction; readers keep the old rows until commit."""
    TRUNCATE = "truncate"
    """TRUNCATE + COPY; readers wait for the whole load."""


class Outcome(StrEnum):
    """How a load ended when it did not fail."""

    LOADED = "loaded"
    ALREADY_LOADED = "already_loaded"
    """An earlier attempt committed; the counts are the manifest's."""
    STALE_REPLACE = "stale_replace"
    """A newer load of the table was there; the table is untouched."""


@dataclass(frozen=True, slots=True)
class Guards:
    """What a replace must satisfy before it touches the table."""

    allow_empty: bool = False
    """Whether a replace may leave the table without rows."""
    max_shrink: float | None = None
    """Largest part of the rows, 0 to 1, that a replace may take away."""


def load_key(installation: str, root_execution_id: int, target: TableName) -> str:
    """Return the manifest key of an execution's load, the same for every attempt."""
    return f"{installation}:{root_execution_id}:load:{target}"


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """The rows of one input into one table, once per ``load_key``."""

    input: LoadInput
    target: TableName
    url: str
    """``postgresql://`` or ``mysql://`` URL of the target database; may hold a password."""
    mode: Mode
    installation: str
    root_execution_id: int
    execution_id: int
    attempt: int
    effective_time: datetime
    params_sha256: str
    check_lease: Callable[[], None]
    """Raises FenceLost when the attempt does not own its execution any more."""
    strategy: Strategy = Strategy.AUTO
    create: bool = False
    """Make the table when it is missing."""
    keys: tuple[str, ...] = ()
    """Columns that tell one row from another; for ``upsert`` only."""
    guards: Guards = Guards()
    lock_wait_seconds: float = 30.0
    meter: Meter = SILENT
    """Hears how many rows are on their way, from the thread that reads them."""

    @property
    def load_key(self) -> str:
        """The same for every attempt and operator's retry of an execution."""
        return load_key(self.installation, self.root_execution_id, self.target)

    @property
    def application_name(self) -> str:
        """How the connection shows in ``pg_stat_activity``."""
        return f"jobu:{self.execution_id}:{self.attempt}"


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What the manifest says about a load, and how it was done this time."""

    outcome: Outcome
    load_key: str
    load_id: int | None
    """None when nothing was loaded."""
    target: str
    mode: str
    rows: int
    """Landed in the table; equals the rows read and sent."""
    rejected: int
    strategy: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    """(name, column type) of the table, where this attempt loaded it."""
