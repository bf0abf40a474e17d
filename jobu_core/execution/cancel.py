"""Cancel is a state that is polled, never only a signal (rule 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.crash_points import reach
from jobu_core.errors import Conflict
from jobu_core.store import audit, cancellation
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

    from jobu_core.models import Status


def cancel_execution(engine: Engine, execution_id: int, *, who: str, reason: str) -> Status:
    """Cancel one execution; return CANCELED, or RUNNING when its worker was asked.

    A running one ends within the supervisor's poll and grace (about 3 s at the
    defaults), also when its handler hangs in C code. Raises NotFound, and Conflict
    when it has ended already.
    """
    with transaction(engine) as connection:
        status = cancellation.cancel(connection, execution_id, reason=reason)
        if status is None:
            ended = get_execution(connection, execution_id)
            msg = f"execution {execution_id} has ended already: {ended.status}"
            raise Conflict(msg)
        reach("cancel.row_changed")
        audit.record(
            connection,
            who,
            "execution.cancel",
            f"job_executions/{execution_id}",
            after={"status": status.value},
            why=reason,
        )
        reach("cancel.audited")
    reach("cancel.committed")
    return status


def request_cancel_of_run(
    engine: Engine,
    run_id: str,
    *,
    token: str | None,
    reason: str,
) -> Mapping[int, Status]:
    """Cancel every unfinished execution that a run carries; status by execution id."""
    with transaction(engine) as connection:
        canceled = cancellation.cancel_run(connection, run_id, token, reason=reason)
        reach("cancel_run.rows_changed")
    reach("cancel_run.committed")
    return canceled
