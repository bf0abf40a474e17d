"""A job store with a catalog of two handlers, for the tests of cron; starts nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jobu_core.config import DispatcherSettings
from jobu_core.dispatcher.cron.dispatch import CronTick, dispatch_handler
from jobu_core.dispatcher.cron.edit import add_job
from jobu_core.errors import InvalidParams, UnknownHandler
from jobu_core.store.cron_jobs import find_job
from jobu_core.store.executions import list_executions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Engine

    from jobu_core.models import CronJob, Execution
    from tests.fix_store_time import StoreTime


@dataclass
class FakeCatalog:
    """Handlers that take anything, except what a test refuses."""

    names: tuple[str, ...] = ("echo", "other")
    refuse: Callable[[Mapping[str, Any]], str | None] = lambda _params: None
    validated: list[dict[str, Any]] = field(default_factory=list)

    def validate(self, name: str, params: Mapping[str, Any]) -> None:
        """Refuse an unknown handler, or what ``refuse`` gives a reason for."""
        if name not in self.names:
            msg = f"no handler named {name!r}"
            raise UnknownHandler(msg)
        self.validated.append(dict(params))
        reason = self.refuse(params)
        if reason is not None:
            raise InvalidParams(reason)


@dataclass(frozen=True)
class Cron:
    """One store with one catalog; every method is a sentence of a test."""

    engine: Engine
    catalog: FakeCatalog = field(default_factory=FakeCatalog)
    settings: DispatcherSettings = field(default_factory=DispatcherSettings)

    def add(self, expression: str = "* * * * *", **values: object) -> CronJob:
        """Save a job called ``job`` for the handler ``echo`` unless told otherwise."""
        base = {"name": "job", "handler_name": "echo", "cron_expression": expression}
        return add_job(self.engine, self.catalog, self.settings, base | values, who="tester")

    def tick(self, handler: str = "echo", scheduled_time: datetime | None = None) -> CronTick:
        """Run one tick of a handler."""
        return dispatch_handler(
            self.engine,
            self.catalog,
            self.settings,
            handler_name=handler,
            scheduled_time=scheduled_time,
        )

    def job(self, name: str = "job") -> CronJob:
        """Read a job back."""
        with self.engine.begin() as connection:
            return find_job(connection, name)

    def executions(self) -> list[Execution]:
        """Return every execution, oldest first."""
        with self.engine.begin() as connection:
            return list_executions(connection, limit=10_000)[::-1]

    def times(self) -> list[str]:
        """Return the scheduled times of all executions as ``MM-DD HH:MM``."""
        return [short(row.scheduled_time) for row in self.executions()]

    def skips(self) -> list[tuple[str, str, int]]:
        """Return (reason, first time, count) of every skip row, by time."""
        rows = self.query("SELECT reason, scheduled_time, count FROM dispatch_skips ORDER BY 2")
        return [(reason, short(at), count) for reason, at, count in rows]

    def ledger_count(self) -> int:
        """Return how many occurrences the ledger accounts for."""
        ((total,),) = self.query("SELECT coalesce(sum(count), 0) FROM dispatch_ledger")
        return int(total)

    def finish_all(self) -> None:
        """Let every unfinished execution end well."""
        with self.engine.begin() as connection:
            connection.execute(
                sa.text(
                    "UPDATE job_executions SET status = 'CANCELED', finished_at = jobu_now()"
                    " WHERE status = 'PENDING'"
                )
            )

    def write(self, statement: str, **values: object) -> None:
        """Change the store behind jobu's back."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def query(self, statement: str) -> Sequence[Any]:
        """Read rows as tuples."""
        with self.engine.begin() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement))]

    def outcomes(self) -> Counter[str]:
        """Count the ledger's occurrences by outcome."""
        counted: Counter[str] = Counter()
        for outcome, total in self.query(
            "SELECT outcome, sum(count) FROM dispatch_ledger GROUP BY outcome",
        ):
            counted[outcome] = int(total)
        return counted


def short(at: datetime | None) -> str:
    """Write an instant of UTC as ``MM-DD HH:MM``."""
    assert at is not None
    return at.astimezone(UTC).strftime("%m-%d %H:%M")


@pytest.fixture
def cron(engine: Engine, store_time: StoreTime) -> Cron:
    """Return a store whose time stands still at 2026-03-02 00:00 UTC, with its catalog."""
    assert short(store_time.now) == "03-02 00:00"
    return Cron(engine)
