"""What an attempt had committed before its process died: a load in the manifest is a SUCCESS.

Asked only when no attempt is left (rule 11); while one is, it finds the load itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jobu_core.errors import InvalidInput
from jobu_core.handlers.base import Identity
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution

if TYPE_CHECKING:
    from jobu_core.execution.runtime import ExecutionRuntime

Committed = Callable[[int], Mapping[str, Any] | None]
"""Execution id → the result of what it has committed, or None."""


def nothing_committed(_execution_id: int) -> None:
    """Know of no effect; for a store whose handlers have none."""


def committed_result(runtime: ExecutionRuntime, execution_id: int) -> Mapping[str, Any] | None:
    """Ask the handler of an execution what it has committed, or None.

    Raises TargetUnavailable when that cannot be told now, so that nothing is
    decided; NotFound when the row is gone.
    """
    with transaction(runtime.engine) as connection:
        execution = get_execution(connection, execution_id)
    registry = runtime.registry
    try:
        params = registry.parse(execution.handler_name, execution.params)
        declared = registry.declarations
        identity = Identity(
            execution.root_id,
            runtime.installation,
            runtime.databases,
            declared,
        )
        return registry.get(execution.handler_name).committed(params, identity)
    except InvalidInput:  # the handler or its dataset left the registry: nothing to ask
        return None
