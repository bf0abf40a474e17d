"""A tiny project around handlers: data roots, a registry, contexts of attempts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from jobu_core.config import DatasetSettings, HandlersSettings
from jobu_core.handlers import HandlerContext, Materialization, StagedHandler
from jobu_core.handlers.registry import Registry, load_registry
from jobu_core.pipeline.paths import Paths
from tests.load_bench import INSTALLATION, NOON, Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SAMPLE = Path(__file__).parents[1] / "data" / "raw" / "sample.csv"


@dataclass
class Project:
    """A folder with data/, a target database, and what attempts emitted."""

    bench: Bench
    registry: Registry
    emitted: list[Materialization] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.bench.folder

    def write(self, name: str, text: str) -> Path:
        """Write a file below data/ and return its real path."""
        path = self.root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, handler: str, params: Mapping[str, Any], **changes: Any) -> Any:  # noqa: ANN401 - a handler's result
        """Run a handler as one attempt; ``changes`` are fields of its context."""
        parsed = self.registry.parse(handler, params)
        return self.registry.get(handler).run(self.context(**changes), parsed)

    def stage(
        self,
        stage: str,
        params: Mapping[str, Any],
        carried: Mapping[str, Any],
        **changes: Any,  # noqa: ANN401 - fields of HandlerContext
    ) -> Mapping[str, Any]:
        """Run one stage of the pipeline."""
        handler = self.registry.get("pipeline")
        assert isinstance(handler, StagedHandler)
        parsed = self.registry.parse("pipeline", params)
        return handler.run_stage(stage, self.context(**changes), parsed, carried)

    def context(
        self,
        *,
        execution_id: int = 1,
        root_execution_id: int | None = None,
        attempt: int = 1,
        check_lease: Callable[[], None] = lambda: None,
        **changes: Any,  # noqa: ANN401 - fields of HandlerContext
    ) -> HandlerContext:
        """Return the context of an attempt."""
        work_dir = self.root / ".jobu" / "work" / str(execution_id) / str(attempt)
        work_dir.mkdir(parents=True, exist_ok=True)
        fields: dict[str, Any] = {
            "params": {},
            "logger": structlog.wrap_logger(None, processors=[self._remember]),
            "deadline": None,
            "scheduled_time": None,
            "interval_start": None,
            "interval_end": None,
            "effective_time": NOON,
            "progress": lambda _values: None,
            "emit": self.emitted.append,
            "databases": {"default": self.bench.url},
            "paths": Paths({"/data": "data"}, self.root),
            "datasets": self.registry.datasets,
            "models": self.registry.models,
            "installation": INSTALLATION,
            "free_tables": self.registry.free_tables,
            "transforms": self.registry.transforms,
            "code_version": self.registry.code_version,
        }
        return HandlerContext(
            execution_id=execution_id,
            root_execution_id=root_execution_id or execution_id,
            attempt=attempt,
            check_lease=check_lease,
            work_dir=work_dir,
            **(fields | changes),
        )

    def _remember(self, _logger: object, _method: str, event: Any) -> Any:  # noqa: ANN401 - structlog's
        self.log.append(dict(event))
        raise structlog.DropEvent


def make_project(bench: Bench, **datasets: DatasetSettings) -> Project:
    """Return a project with the demo's sample file and dataset, and those given."""
    declared = {
        "sample": DatasetSettings(
            input="/data/raw/sample.csv",
            model="SampleRecord",
            target="default.public.sample",
            mode="replace",
        ),
        **datasets,
    }
    settings = HandlersSettings(free_tables=("default.public.scratch_*",))
    raw = bench.folder / "data" / "raw"
    raw.mkdir(parents=True)
    shutil.copy(SAMPLE, raw / "sample.csv")
    return Project(bench, load_registry(settings, declared))
