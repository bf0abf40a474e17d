"""Why an execution has not begun: one sentence for the person who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.models import Status
from jobu_core.store import launches

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from jobu_core.config import Settings
    from jobu_core.handlers.registry import Registry
    from jobu_core.models import Execution
    from jobu_core.store.launches import Capacity


def why_waiting(
    connection: Connection,
    execution: Execution,
    *,
    registry: Registry,
    settings: Settings,
    now: datetime,
) -> str | None:
    """Return why ``execution`` is not running, or None when it is or has ended."""
    if execution.status is Status.QUEUED:
        return _in_flight(execution)
    if execution.status is not Status.PENDING:
        return None
    if execution.handler_name not in registry.names:
        return f"no handler named {execution.handler_name!r} is registered"
    if execution.next_attempt_at is not None and execution.next_attempt_at > now:
        seconds = (execution.next_attempt_at - now).total_seconds()
        return f"due again in {seconds:.0f} s ({execution.reason or 'backoff'})"
    if execution.serial_key is not None:
        ahead = launches.ahead_in_key(connection, execution.serial_key, execution.id)
        if ahead is not None:
            return f"execution {ahead} of the same serial key ({execution.serial_key}) goes first"
    capacity = launches.read_capacity(
        connection,
        scope=launches.Scope(registry.names),
        code_version=registry.code_version,
        lease_seconds=settings.worker.lease_seconds,
    )
    return _for_capacity(capacity, settings.dispatcher.launch.ahead)


def _in_flight(execution: Execution) -> str:
    if execution.worker_id is None:
        return "launched; its run waits for a worker"
    return f"launched; worker {execution.worker_id} is about to begin it"


def _for_capacity(capacity: Capacity, ahead: int) -> str:
    if capacity.live_slots * ahead > capacity.in_flight:
        return "due; the next tick launches it"
    if capacity.live_slots:
        return (
            f"due; {capacity.in_flight} launches are in flight on {capacity.live_slots} slots"
            f" and {capacity.due} executions are due"
        )
    if capacity.other_slots:
        return "due; the live workers run another code version and are draining"
    return "due; there is no live worker (start one: jobu worker)"
