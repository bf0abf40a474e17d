"""What a load is asked to do and what became of it; values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from jobu_core.pipeline.meter import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jobu_core.config.datasets import OnMissingColumn, OnNewColumn
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


@dataclass(frozen=True, slots=True)
class SchemaPolicy:
    """What becomes of columns that only the file or only the table has."""

    on_new: OnNewColumn = "fail"
    """``ignore``: it is not loaded. ``add``: the table gets it, nullable."""
    on_missing: OnMissingColumn = "fail"
    """``null``: a column that takes null is left out of the load: new rows have null there,
    rows that an upsert changes keep what they have."""


STRICT: Final = SchemaPolicy()
"""Both sides have the same columns."""


@dataclass(frozen=True, slots=True)
class SchemaChanges:
    """What the policy made of a file's and a table's differences; names of columns."""

    added: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    """Of the file, not loaded."""
    left_out: tuple[str, ...] = ()
    """Of the table, not in the file."""


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
    policy: SchemaPolicy = SchemaPolicy()
    load_id_column: bool = False
    """Whether a table that is made, or may get columns, gets ``_jobu_load_id``."""
    lock_wait_seconds: float = 30.0
    meter: Meter = SILENT
    """Hears how many rows are on their way, from the thread that reads them."""

    content: str | None = None
    """Hash of all that the rows are made from, where that is the load's key."""
    content_sha256: str | None = None
    """The user's bytes as ``content`` was made of; None: the rows have no others."""

    @property
    def load_key(self) -> str:
        """The execution's key; of ``content`` the same for every load of these rows."""
        if self.content is None:
            return self.chain_key
        return f"content:{self.content}:load:{self.target.in_database}"

    @property
    def chain_key(self) -> str:
        """The same for every attempt and operator's retry of an execution."""
        return load_key(self.installation, self.root_execution_id, self.target)

    @property
    def application_name(self) -> str:
        """How the connection shows in ``pg_stat_activity``."""
        return f"jobu:{self.execution_id}:{self.attempt}"


@dataclass(frozen=True, slots=True)
class Merged:
    """What an upsert did to the rows of the table; None where it could not be told."""

    inserted: int | None
    updated: int | None
    """Keys that were there; their columns have the file's values now."""


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
    """Landed in the table; equals the rows read and sent. Of an upsert: distinct keys of
    the file, each a row of the table that is as its last row in the file says."""
    rejected: int
    strategy: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    """(name, column type) of the table, where this attempt loaded it."""
    merged: Merged | None = None
    """Where this attempt did an upsert."""
    changes: SchemaChanges = SchemaChanges()
    loaded_by: int | None = None
    """The execution that did an earlier load."""
