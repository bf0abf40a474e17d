"""What a handler is, and what it is given; no execution logic.

A handler is a class on ``BaseHandler`` or a plain function, marked with
``@handler("name")``; it gets its validated params and a ``HandlerContext`` and
returns something that fits in JSON. It speaks back by three verbs: return,
``raise Retry(after=…)``, ``raise Cancel(reason)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from pydantic import BaseModel

from jobu_core.clock import SystemClock
from jobu_core.pipeline.meter import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    import pandas as pd
    from structlog.typing import FilteringBoundLogger

    from jobu_core.clock import Clock
    from jobu_core.pipeline.datasets import Dataset
    from jobu_core.pipeline.meter import Meter
    from jobu_core.pipeline.paths import Paths

HANDLER_MARK: Final = "__jobu_handler__"
MODEL_MARK: Final = "__jobu_model__"
TRANSFORM_MARK: Final = "__jobu_transform__"

_Marked = TypeVar("_Marked", bound="Callable[..., Any]")
_Model = TypeVar("_Model", bound="type[BaseModel]")
_Function = TypeVar("_Function", bound="Callable[[pd.DataFrame], pd.DataFrame]")


class Retry(Exception):  # noqa: N818 - a verb of handlers, not an error
    """Raised by a handler: try again later; counts as an attempt."""

    def __init__(self, *, after: float | None = None, reason: str = "the handler asked") -> None:
        """Wait ``after`` seconds, or the execution's own backoff when None."""
        super().__init__(reason)
        self.after = after
        self.reason = reason


class Cancel(Exception):  # noqa: N818 - a verb of handlers, not an error
    """Raised by a handler: end as CANCELED, without further attempts."""

    def __init__(self, reason: str) -> None:
        """Keep ``reason`` for the row and the log."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one declared check of an asset."""

    name: str
    passed: bool
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """The column of another asset that a column was made from."""

    asset: tuple[str, ...]
    column: str


@dataclass(frozen=True, slots=True)
class Materialization:
    """What a handler made: an asset key, facts about it, its columns and checks."""

    asset: tuple[str, ...]
    metadata: Mapping[str, Any]
    columns: tuple[tuple[str, str], ...] = ()
    """(name, type) in the order of the file or table."""
    checks: tuple[CheckResult, ...] = ()
    sources: Mapping[str, ColumnSource] = field(default_factory=dict)
    """Column → where it came from, as far as that is an asset."""
    preview: str | None = None
    """First rows in Markdown, where values may be shown."""


@dataclass(frozen=True, slots=True)
class Declarations:
    """What the configuration declares and params may refer to by name."""

    datasets: Mapping[str, Dataset]
    models: Mapping[str, type[BaseModel]]
    free_tables: tuple[str, ...] = ()
    """Patterns ``db.schema.table`` that may be loaded without a dataset."""
    transforms: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which execution an effect belongs to, and where effects can be looked up."""

    root_execution_id: int
    installation: str
    databases: Mapping[str, str]
    """Name → ``postgresql://`` URL."""
    declared: Declarations


@dataclass(frozen=True, slots=True)
class HandlerContext:
    """One attempt of one execution, as its handler sees it."""

    execution_id: int
    root_execution_id: int
    """The first execution of a chain of operator retries; itself if none."""
    attempt: int
    params: Mapping[str, Any]
    """The snapshot as stored; handlers use their validated model instead."""
    logger: FilteringBoundLogger
    deadline: datetime | None
    scheduled_time: datetime | None
    interval_start: datetime | None
    interval_end: datetime | None
    effective_time: datetime
    """scheduled_time, else the message's time, else created_at of the root."""
    progress: Callable[[Mapping[str, Any]], None]
    """Write progress to the row; raises FenceLost when it is not ours any more."""
    check_lease: Callable[[], None]
    """Raise FenceLost unless this attempt still owns the row."""
    emit: Callable[[Materialization], None]
    databases: Mapping[str, str]
    """Name → ``postgresql://`` URL."""
    paths: Paths
    datasets: Mapping[str, Dataset]
    models: Mapping[str, type[BaseModel]]
    work_dir: Path
    """``{work}/{execution}/{attempt}``; made before the handler runs."""
    installation: str
    """UUID of this job store; part of every load key."""
    free_tables: tuple[str, ...] = ()
    code_version: str = ""
    """Changes with the user's modules and datasets; what was made by other code is stale."""
    transforms: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = field(default_factory=dict)
    meter: Meter = SILENT
    """Hears after each batch how far a stage is; tells the log and the row at their pace."""
    clock: Clock = field(default_factory=SystemClock)
    """Measures how long something took."""

    @property
    def declarations(self) -> Declarations:
        """What params may refer to by name."""
        return Declarations(self.datasets, self.models, self.free_tables, self.transforms)


class AnyParams(BaseModel, extra="allow"):
    """Params of a handler that takes whatever it is given."""


class BaseHandler(ABC):
    """A named piece of work with a model of its params."""

    name: ClassVar[str] = ""
    """Set by ``@handler``."""
    Params: ClassVar[type[BaseModel]] = AnyParams

    def check(  # noqa: B027 - an optional hook
        self,
        params: Any,  # noqa: ANN401 - each handler has its own model
        declared: Declarations,
    ) -> None:
        """Refuse params that can never work: an unknown dataset, a forbidden table.

        Called at dispatch and when a cron job is saved. Raises InvalidInput; must
        not touch files or databases.
        """

    def committed(self, params: Any, identity: Identity) -> Mapping[str, Any] | None:  # noqa: ANN401, ARG002 - each handler has its own model
        """Return the result of an effect that a dead attempt has committed, or None.

        Asked when the process of the last attempt has died: what was committed is
        a SUCCESS. Must only read. Raises TargetUnavailable when it cannot tell.
        """
        return None

    @abstractmethod
    def run(self, context: HandlerContext, params: Any) -> Any:  # noqa: ANN401 - each handler has its own model and result
        """Do the work; return anything that fits in JSON."""


class StagedHandler(BaseHandler):
    """A handler whose stages run as separate Dagster ops, in order."""

    stages: ClassVar[tuple[str, ...]] = ()
    fusible: ClassVar[bool] = False
    """Whether ``fused: true`` in the params makes one op of all stages, in a job
    ``{name}_fused`` of its own."""

    @abstractmethod
    def run_stage(
        self,
        stage: str,
        context: HandlerContext,
        params: Any,  # noqa: ANN401 - each handler has its own model
        carried: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """Run one stage; ``carried`` is the merged JSON results of those before."""

    def run(self, context: HandlerContext, params: Any) -> dict[str, Any]:  # noqa: ANN401 - each handler has its own model
        """Run every stage in order and return their merged results."""
        carried: dict[str, Any] = {}
        for stage in self.stages:
            carried |= self.run_stage(stage, context, params, carried)
        return carried


def handler(name: str) -> Callable[[_Marked], _Marked]:
    """Mark a ``BaseHandler`` subclass or a function ``(context, params: Model)``.

    Nothing is registered here: ``load_registry`` collects the marks of the modules
    that ``handlers.yaml`` names.
    """

    def mark(target: _Marked) -> _Marked:
        setattr(target, HANDLER_MARK, name)
        if isinstance(target, type) and issubclass(target, BaseHandler):
            target.name = name
        return target

    return mark


def model(name: str) -> Callable[[_Model], _Model]:
    """Mark a pydantic model that datasets and params refer to as ``name``."""

    def mark(target: _Model) -> _Model:
        setattr(target, MODEL_MARK, name)
        return target

    return mark


def transform(name: str) -> Callable[[_Function], _Function]:
    """Mark a function ``DataFrame → DataFrame`` that datasets and params refer to as ``name``."""

    def mark(target: _Function) -> _Function:
        setattr(target, TRANSFORM_MARK, name)
        return target

    return mark
