"""What the tests of attempts share: a child that claims a row and runs a test's handler."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from jobu_core.clock import ManualClock
from jobu_core.config import Settings
from jobu_core.execution.run import Attempt, Outcome
from jobu_core.execution.runtime import ExecutionRuntime
from jobu_core.handlers.base import AnyParams, HandlerContext
from jobu_core.handlers.functions import FunctionHandler
from jobu_core.handlers.registry import Registry
from jobu_core.pipeline.paths import Paths
from tests.launch_support import WORKER, Jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from jobu_core.handlers.base import BaseHandler, Materialization
    from jobu_core.models import LaunchBatch


class Left(BaseException):
    """Stands for the end of this process."""


@dataclass
class MemorySink:
    """Keeps what an attempt says."""

    lines: list[str] = field(default_factory=list)
    made: list[Materialization] = field(default_factory=list)

    def emit(self, made: Materialization) -> None:
        """Keep it."""
        self.made.append(made)

    def log(self, message: str) -> None:
        """Keep it."""
        self.lines.append(message)

    @contextmanager
    def captured_output(self) -> Iterator[None]:
        """Capture nothing."""
        yield


class Free(AnyParams):
    """Params of any shape."""


class Number(BaseModel):
    """Params with one checked field."""

    number: int


class Bench:
    """A worker's child: claims a row and runs a handler that the test wrote."""

    def __init__(self, engine: Engine, root: Path) -> None:
        """Start with nothing to run."""
        self.jobs = Jobs(engine)
        self.sink = MemorySink()
        self.clock = ManualClock()
        self.root = root
        self.exits: list[int] = []

    def runtime(self, handler: BaseHandler) -> ExecutionRuntime:
        """Return a runtime that knows one handler, ``echo``."""
        return ExecutionRuntime(
            engine=self.jobs.engine,
            settings=Settings(root=self.root),
            registry=Registry({"echo": handler}, {}, {}, (), "v1"),
            paths=Paths({"/data": "data"}, self.root),
            databases={"default": "postgresql:///x"},
            installation="i",
            clock=self.clock,
        )

    def leave(self, code: int) -> None:
        """End the process, as far as a test can."""
        self.exits.append(code)
        raise Left

    def begin(self, handler: BaseHandler, batch: LaunchBatch | None = None) -> Attempt:
        """Queue a row (or take the one given) and claim it."""
        launched = batch or self.jobs.queued(params={"number": 1})
        attempt = Attempt.begin(
            self.runtime(handler),
            launched.execution_ids[0],
            launched.token,
            run_id="run",
            worker_id=WORKER,
            exit_process=self.leave,
        )
        assert attempt is not None
        return attempt

    def run(self, work: Callable[[HandlerContext, Any], Any], **values: Any) -> Outcome:  # noqa: ANN401 - any field
        """Run a function as the handler of a fresh row."""
        batch = self.jobs.queued(**({"params": {"number": 1}} | values))
        return self.begin(FunctionHandler.wrap("echo", work), batch).run(self.sink)
