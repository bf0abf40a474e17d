"""Due PENDING rows become launches, within the window that live workers open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobu_core.crash_points import reach
from jobu_core.dispatcher.batches import BatchLimits, share_launches
from jobu_core.store import launches, workers
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Engine

    from jobu_core.config import LaunchSettings
    from jobu_core.models import LaunchBatch
    from jobu_core.store.launches import Capacity

_SHOWN_IDS: Final = 5


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What one claim decided."""

    batches: tuple[LaunchBatch, ...]
    window: int
    """How many launches were possible before this claim."""
    message: str
    """One sentence for the tick: what is launched, or why nothing is."""


def claim_due(
    engine: Engine,
    *,
    handlers: Collection[str],
    fusible: Collection[str] = (),
    with_fused: bool = True,
    settings: LaunchSettings,
    code_version: str,
    lease_seconds: float,
    limit: int | None = None,
    alone: Collection[str] = (),
) -> LaunchPlan:
    """Claim due rows of ``handlers`` by priority, then age, as far as the window goes.

    Rows of ``fusible`` handlers whose params say ``fused: true`` are for a job of their
    own; ``with_fused`` false leaves them to a carrier that can launch that one, too.
    ``limit``: launches at most. When more rows are due than launches are possible,
    up to ``max_batch`` rows of one handler share a launch, unless it is in ``alone``.

    One transaction under the launch lock; what it returns must be launched by the
    caller, or the reconciler returns it to PENDING after ``launch_grace_seconds``.
    Raises StoreUnavailable.
    """
    scope = launches.Scope(handlers, fusible, with_fused)
    with transaction(engine) as connection:
        launches.lock_launching(connection)
        reach("launch.lock_taken")
        workers.publish_code_version(connection, code_version)
        reach("launch.version_published")
        capacity = launches.read_capacity(
            connection,
            scope=scope,
            code_version=code_version,
            lease_seconds=lease_seconds,
        )
        window = max(0, capacity.live_slots * settings.ahead - capacity.in_flight)
        most = window if limit is None else min(window, limit)
        limits = BatchLimits(settings.max_batch, alone)
        rows = most * settings.max_batch
        due = launches.lock_due(connection, scope=scope, most=rows) if rows else []
        batches = launches.queue(connection, share_launches(due, most, limits))
        reach("launch.rows_claimed")
    reach("launch.claim_committed")
    return LaunchPlan(batches, window, _message(capacity, batches))


def _message(capacity: Capacity, batches: tuple[LaunchBatch, ...]) -> str:
    if batches:
        ids = [row_id for batch in batches for row_id in batch.execution_ids]
        shown = ", ".join(str(row_id) for row_id in ids[:_SHOWN_IDS])
        more = f" and {len(ids) - _SHOWN_IDS} more" if len(ids) > _SHOWN_IDS else ""
        return f"launching {len(batches)}: executions {shown}{more}"
    if not capacity.due:
        return "nothing due"
    waiting = f"{capacity.due} due"
    if capacity.live_slots:
        return (
            f"{waiting}, none launched: {capacity.in_flight} launches in flight on"
            f" {capacity.live_slots} slots, or an older execution of the same job is unfinished"
        )
    if capacity.other_slots:
        return f"{waiting}, none launched: live workers run another code version and are draining"
    return f"{waiting}, none launched: no live worker (start one: jobu worker)"
