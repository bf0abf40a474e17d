"""Builds the HandlerContext of an attempt: progress, lease and output wired to its row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog

from jobu_core.crash_points import reach
from jobu_core.errors import NotFound, StoreUnavailable
from jobu_core.handlers.base import HandlerContext
from jobu_core.pipeline.meter import Listener, PacedMeter
from jobu_core.store import transitions
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from structlog.typing import FilteringBoundLogger

    from jobu_core.execution.run import Attempt
    from jobu_core.execution.runtime import ExecutionRuntime, Sink
    from jobu_core.models import Execution

LOG_EVERY_SECONDS: Final = 5.0
"""A line of progress in the run's log, at most."""

_log: Final = structlog.get_logger(__name__)


def build_context(attempt: Attempt, sink: Sink) -> HandlerContext:
    """Return what the handler of ``attempt`` is given."""
    runtime, execution = attempt.runtime, attempt.execution

    def progress(values: Mapping[str, Any]) -> None:
        try:
            with transaction(runtime.engine) as connection:
                transitions.write_progress(connection, attempt.fence, values)
                reach("progress.row_written")
        except StoreUnavailable as outage:  # shown to people only: no attempt fails for it
            _log.warning("progress not kept", execution_id=execution.id, reason=str(outage))
            return
        reach("progress.committed")

    def check_lease() -> None:
        attempt.confirm_lease()

    logger = _logger(sink)

    return HandlerContext(
        execution_id=execution.id,
        root_execution_id=execution.root_id,
        attempt=execution.attempt,
        params=execution.params,
        logger=logger,
        deadline=execution.deadline_at,
        scheduled_time=execution.scheduled_time,
        interval_start=execution.interval_start,
        interval_end=execution.interval_end,
        effective_time=_effective_time(runtime, execution),
        progress=progress,
        check_lease=check_lease,
        emit=sink.emit,
        databases=runtime.databases,
        paths=runtime.paths,
        datasets=runtime.registry.datasets,
        models=runtime.registry.models,
        work_dir=runtime.work_dir(execution.id, execution.attempt),
        installation=runtime.installation,
        free_tables=runtime.registry.free_tables,
        code_version=runtime.registry.code_version,
        transforms=runtime.registry.transforms,
        meter=PacedMeter(
            runtime.clock,
            [
                Listener(LOG_EVERY_SECONDS, lambda now: logger.info("progress", **now.as_json())),
                Listener(
                    runtime.settings.worker.heartbeat_seconds, lambda now: progress(now.as_json())
                ),
            ],
        ),
        clock=runtime.clock,
    )


class _SinkLogger:
    """Where structlog's rendered lines go: the run's log, one method per level."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, message: str) -> None:
        self._sink.log(message)

    debug = info = warning = error = critical = fatal = failure = exception = log = msg


def _logger(sink: Sink) -> FilteringBoundLogger:
    """Return a key=value logger that writes to the run's log."""
    wrapped: FilteringBoundLogger = structlog.wrap_logger(
        _SinkLogger(sink),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    return wrapped


def _effective_time(runtime: ExecutionRuntime, execution: Execution) -> datetime:
    """Return scheduled_time, else the message's time, else created_at of the root."""
    if execution.scheduled_time is not None:
        return execution.scheduled_time
    if execution.message_time is not None:
        return execution.message_time
    if execution.root_execution_id is None:
        return execution.created_at
    try:
        with transaction(runtime.engine) as connection:
            return get_execution(connection, execution.root_execution_id).created_at
    except NotFound:  # the root was pruned
        return execution.created_at
