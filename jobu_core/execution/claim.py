"""What a worker does with a launch before user code runs: stamp it, claim its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.store import transitions
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

    from jobu_core.models import Execution


def stamp_launch(engine: Engine, token: UUID, *, run_id: str, worker_id: str) -> int:
    """Write run, worker and heartbeat on a launch's waiting rows; returns how many.

    Done before Dagster is called, so that the reconciler can tell a run that is
    being loaded from one that nobody has.
    """
    with transaction(engine) as connection:
        return transitions.stamp_launch(connection, token, run_id=run_id, worker_id=worker_id)


def claim(
    engine: Engine,
    execution_id: int,
    token: UUID,
    *,
    run_id: str,
    worker_id: str,
) -> Execution | None:
    """QUEUED → RUNNING for this launch; None when the launch is superseded."""
    with transaction(engine) as connection:
        return transitions.start(
            connection,
            execution_id,
            token,
            run_id=run_id,
            worker_id=worker_id,
        )
