"""The state machine as data, and what follows from a row."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from jobu_core import models
from jobu_core.models import TERMINAL, TRANSITIONS, Execution, LaunchBatch, Status
from jobu_core.store.schema import cron_jobs, job_executions, workers

if TYPE_CHECKING:
    import sqlalchemy as sa

VALUES = [value for value in vars(models).values() if is_dataclass(value)]


def execution(**changes: Any) -> Execution:  # noqa: ANN401 - any field of the row
    """Return a pending row with the given changes."""
    row = dict.fromkeys(field.name for field in fields(Execution))
    row |= {"id": 7, "status": Status.PENDING, "created_at": datetime(2026, 1, 1, tzinfo=UTC)}
    return Execution(**(row | changes))  # type: ignore[arg-type]


def test_every_status_has_its_transitions() -> None:
    """No status is forgotten in the table, as source or as target."""
    assert set(TRANSITIONS) == set(Status)
    assert set().union(*TRANSITIONS.values()) <= set(Status)


def test_terminal_means_no_way_out() -> None:
    """TERMINAL is exactly what TRANSITIONS leads nowhere from."""
    assert {status for status, targets in TRANSITIONS.items() if not targets} == TERMINAL


def test_every_status_is_reachable_from_pending() -> None:
    """Nothing in the state machine is dead."""
    reached, frontier = {Status.PENDING}, [Status.PENDING]
    while frontier:
        new = TRANSITIONS[frontier.pop()] - reached
        reached |= new
        frontier.extend(new)
    assert reached == set(Status)


def test_an_execution_without_root_is_its_own() -> None:
    """A chain of retries is named by its first execution."""
    assert execution().root_id == 7
    assert execution(root_execution_id=3).root_id == 3


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_values_are_frozen_and_slotted(value: type) -> None:
    """A value passed on cannot change behind the back of its reader."""
    assert value.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(value)


def test_changing_a_value_is_refused() -> None:
    """Assignment raises; replace() makes a new value."""
    row = execution()
    with pytest.raises(FrozenInstanceError):
        row.attempt = 2  # type: ignore[misc]
    assert replace(row, attempt=2).attempt == 2


@pytest.mark.parametrize(
    ("model", "table"),
    [
        (models.CronJob, cron_jobs),
        (models.Execution, job_executions),
        (models.Worker, workers),
    ],
)
def test_a_row_model_has_its_tables_columns(model: type, table: sa.Table) -> None:
    """The same thing has the same name in the table and in the code."""
    assert {field.name for field in fields(model)} == set(table.columns.keys())


def test_a_launch_batch_names_one_handler() -> None:
    """A batch is a value: equal content, equal batch."""
    names = {field.name for field in fields(LaunchBatch)}
    assert names == {"token", "handler", "execution_ids", "source", "fused"}
