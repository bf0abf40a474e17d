"""What simulated executions do: a handler whose params say how it behaves.

Its one effect is a row keyed by the root execution, as the manifest of a real load is.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import sqlalchemy as sa

from jobu_core.handlers.base import AnyParams, BaseHandler, Cancel, Retry
from jobu_core.handlers.registry import Registry
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic import BaseModel

    from jobu_core.handlers.base import HandlerContext, Materialization
    from tests.simulation.actors import Stage
    from tests.simulation.store import SimulatedStore

NAMES: Final = ("echo", "other")
"""Handlers that are registered; both behave as their params say."""

BEHAVIOURS: Final = (
    *("well", "slow", "fail", "flaky", "long", "retry", "hang", "crash", "cancel", "long"),
)
"""What params may ask for."""

SECONDS: Final = {"slow": 8, "long": 75}
"""How long some of them work; the others a second."""

_EFFECT: Final = """
INSERT INTO sim_effects (root, execution_id, attempt) VALUES (:root, :id, :attempt)
ON CONFLICT (root) DO NOTHING
"""


def behaviour(number: int) -> dict[str, Any]:
    """Return params of some behaviour."""
    return {"does": BEHAVIOURS[number % len(BEHAVIOURS)]}


class Work(BaseHandler):
    """Works for some seconds, in the way that its params ask for."""

    Params: ClassVar[type[BaseModel]] = AnyParams

    def __init__(self, name: str, stage: Stage, store: SimulatedStore) -> None:
        """Belong to one simulation."""
        self.name = name  # type: ignore[misc]
        self._stage = stage
        self._store = store
        self.interrupt: Callable[[], None] = lambda: None
        """Set by the worker: delivers the signals of the child that runs."""

    def run(self, context: HandlerContext, params: Any) -> dict[str, Any]:  # noqa: ANN401 - the base's signature
        """Work, then commit the effect if the row is still ours."""
        does = params.does
        self._work(does)
        if does == "fail" or (does == "flaky" and context.attempt < 2):
            raise ValueError("the simulated handler fails")
        if does == "retry" and context.attempt < 2:
            raise Retry(after=5)
        if does == "cancel":
            raise Cancel("the simulated handler does not want to")
        context.progress({"half": True})
        context.check_lease()
        with transaction(self._store.engine) as connection:
            values = {
                "root": context.root_execution_id,
                "id": context.execution_id,
                "attempt": context.attempt,
            }
            connection.execute(sa.text(_EFFECT), values)
        self._seconds(1)
        return {"ok": True}

    def committed(self, params: Any, identity: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 - the base's signature
        """Return the effect of a dead attempt, if it had one."""
        del params
        with transaction(self._store.engine) as connection:
            found = sa.text("SELECT attempt FROM sim_effects WHERE root = :root")
            row = connection.execute(found, {"root": identity.root_execution_id}).one_or_none()
        return None if row is None else {"ok": True, "attempt": row.attempt}

    def _work(self, does: str) -> None:
        if does == "hang":  # in C code: no signal is handled there
            while True:
                self._stage.sleep(3600)
        if does == "crash":
            self._stage.sleep(1)
            actor = self._stage.current
            if actor is not None:
                self._stage.kill(actor.process)
        self._seconds(SECONDS.get(does, 1))

    def _seconds(self, seconds: int) -> None:
        step = max(1, seconds // 5)
        for _ in range(0, seconds, step):
            self._stage.sleep(step)
            self.interrupt()


@dataclass
class Silence:
    """A sink for what attempts say."""

    def emit(self, made: Materialization) -> None:
        """Drop it."""

    def log(self, message: str) -> None:
        """Drop it."""

    @contextmanager
    def captured_output(self) -> Iterator[None]:
        """Capture nothing."""
        yield


def registry(stage: Stage, store: SimulatedStore) -> Registry:
    """Return a registry of the handlers above."""
    return Registry({name: Work(name, stage, store) for name in NAMES}, {}, {}, (), "v1")
