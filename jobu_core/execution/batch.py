"""The rows of one launch, one after another; what takes too long is given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from jobu_core.crash_points import reach
from jobu_core.errors import StoreUnavailable
from jobu_core.store import supervision
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from jobu_core.execution.run import Attempt, Outcome
    from jobu_core.execution.runtime import ExecutionRuntime, Sink

_log: Final = structlog.get_logger(__name__)


def run_batch(
    runtime: ExecutionRuntime,
    rows: Sequence[tuple[int, UUID]],
    begin: Callable[[int, UUID], Attempt | None],
    sink: Sink,
) -> list[Outcome]:
    """Execute (execution id, token) pairs in order; return how each attempt ended.

    All are tried, whatever the others do (rule 15). Once ``batch_seconds`` have
    passed, those not begun go back to PENDING uncounted, for any slot that is free.
    """
    clock = runtime.clock
    until = clock.monotonic() + runtime.settings.dispatcher.launch.batch_seconds
    outcomes: list[Outcome] = []
    for place, (execution_id, token) in enumerate(rows):
        if place and clock.monotonic() >= until:
            sink.log(f"{len(rows) - place} executions go back: {place} took long enough")
            _give_back(runtime, token)
            break
        attempt = begin(execution_id, token)
        if attempt is not None:
            outcome = attempt.run(sink)
            sink.log(outcome.message)
            outcomes.append(outcome)
    return outcomes


def _give_back(runtime: ExecutionRuntime, token: UUID) -> None:
    """Return the launch's waiting rows; while the store is away the reconciler will."""
    try:
        with transaction(runtime.engine) as connection:
            supervision.return_unstarted(connection, [token], reason="batch_over")
            reach("batch.rows_given_back")
    except StoreUnavailable as outage:
        _log.warning("rows not given back", reason=str(outage))
