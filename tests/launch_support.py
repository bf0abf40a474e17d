"""What the tests of launch and execution share: rows brought into a state in one call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jobu_core.config import LaunchSettings
from jobu_core.dispatcher.launch import claim_due
from jobu_core.errors import UnknownHandler
from jobu_core.models import Fence, NewExecution, ParamSource, Trigger
from jobu_core.store import transitions, workers
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution, insert_executions
from jobu_core.store.schema import job_executions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Engine

    from jobu_core.dispatcher.launch import LaunchPlan
    from jobu_core.models import Execution, LaunchBatch

EVENT = NewExecution(
    handler_name="echo",
    params={},
    param_source=ParamSource.EVENT,
    trigger=Trigger.EVENT,
)
VERSION = "v1"
WORKER = "host:1"


@dataclass
class Catalog:
    """Handlers that take anything."""

    names: tuple[str, ...] = ("echo",)

    def validate(self, name: str, params: Mapping[str, Any]) -> None:
        """Refuse only a handler that is not there."""
        del params
        if name not in self.names:
            raise UnknownHandler(name)


@dataclass(frozen=True)
class Jobs:
    """One job store; every method is a sentence of a test."""

    engine: Engine

    def add(self, **values: Any) -> int:  # noqa: ANN401 - any field of NewExecution
        """Insert one PENDING row."""
        with transaction(self.engine) as connection:
            (row_id,) = insert_executions(connection, [replace(EVENT, **values)])
        assert row_id is not None
        return row_id

    def row(self, row_id: int) -> Execution:
        """Read a row."""
        with transaction(self.engine) as connection:
            return get_execution(connection, row_id)

    def change(self, row_id: int, **columns: Any) -> None:  # noqa: ANN401 - any column
        """Write columns as nobody does in production, to arrange a test."""
        with transaction(self.engine) as connection:
            change = job_executions.update().where(job_executions.c.id == row_id)
            connection.execute(change.values(**columns))

    def worker(
        self,
        worker_id: str = WORKER,
        *,
        slots: int = 2,
        code_version: str = VERSION,
        draining: bool = False,
    ) -> None:
        """Let a worker send a heartbeat."""
        with transaction(self.engine) as connection:
            workers.beat(
                connection,
                worker_id=worker_id,
                host="host",
                main_pid=1,
                slots=slots,
                code_version=code_version,
                draining=draining,
            )

    def claim(
        self,
        *,
        handlers: Collection[str] = ("echo",),
        ahead: int = 2,
        limit: int | None = None,
        max_batch: int = 1,
        alone: Collection[str] = (),
    ) -> LaunchPlan:
        """Claim what is due, one row per launch unless told otherwise."""
        return claim_due(
            self.engine,
            handlers=handlers,
            settings=LaunchSettings(ahead=ahead, max_batch=max_batch),
            code_version=VERSION,
            lease_seconds=30,
            limit=limit,
            alone=alone,
        )

    def claimed_ids(self, **how: Any) -> list[int]:  # noqa: ANN401 - the arguments of claim
        """Claim, and return the ids in launch order."""
        return [row_id for batch in self.claim(**how).batches for row_id in batch.execution_ids]

    def queued(self, **values: Any) -> LaunchBatch:  # noqa: ANN401 - any field of NewExecution
        """Insert a row and claim it."""
        self.worker(slots=1000)
        row_id = self.add(**values)
        (batch,) = self.claim(handlers=(replace(EVENT, **values).handler_name,)).batches
        assert batch.execution_ids == (row_id,)
        return batch

    def stamp(self, batch: LaunchBatch, *, run_id: str = "run", worker_id: str = WORKER) -> int:
        """Do what a worker's task does first."""
        with transaction(self.engine) as connection:
            return transitions.stamp_launch(
                connection,
                batch.token,
                run_id=run_id,
                worker_id=worker_id,
            )

    def start(
        self,
        batch: LaunchBatch,
        *,
        run_id: str = "run",
        worker_id: str = WORKER,
    ) -> Execution | None:
        """QUEUED → RUNNING for the batch's row."""
        with transaction(self.engine) as connection:
            return transitions.start(
                connection,
                batch.execution_ids[0],
                batch.token,
                run_id=run_id,
                worker_id=worker_id,
            )

    def running(
        self,
        *,
        run_id: str = "run",
        worker_id: str = WORKER,
        **values: Any,  # noqa: ANN401 - any field of NewExecution
    ) -> Execution:
        """Insert a row, claim and start it."""
        started = self.start(self.queued(**values), run_id=run_id, worker_id=worker_id)
        assert started is not None
        return started

    def count(self, status: str) -> int:
        """Count rows in a status."""
        with self.engine.connect() as connection:
            counted = sa.select(sa.func.count()).select_from(job_executions)
            found = connection.scalar(counted.where(job_executions.c.status == status))
        return int(found or 0)


def fence_of(execution: Execution) -> Fence:
    """Return what the owner of a running row writes with."""
    assert execution.lease_token is not None
    return Fence(execution.id, execution.lease_token, execution.attempt)
