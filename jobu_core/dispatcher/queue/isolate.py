"""Insert a batch although some of its rows cannot be stored: find these by halving.

Only an error that blames the data halves the batch. Anything else (the database
went away, a bug of ours) leaves through the caller's transaction, so that
nothing is decided about any row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import sqlalchemy as sa

from jobu_core.crash_points import reach
from jobu_core.models import Rejection, Stage
from jobu_core.store.sqlstate import Verdict, verdict_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CODES: Final[Mapping[str, str]] = {
    "22001": "value_too_long",
    "22003": "number_out_of_range",
    "22P05": "nul_character",
    "23503": "reference_gone",
    "54000": "too_large",
    "54001": "too_deep",
}
"""SQLSTATE → the code of the dead letter; any other is ``sqlstate_…``."""

_UNIQUE_VIOLATION: Final = "23505"
"""Never the data's fault: the one key that data makes is named as conflict target. It is
a sequence of ids that a restored backup has set back; each try takes it further on."""

_NOT_STORABLE: Final = "not_storable"

Row = TypeVar("Row")
Inserted = TypeVar("Inserted")


def insert_isolated(
    connection: sa.Connection,
    rows: Sequence[Row],
    insert: Callable[[sa.Connection, Sequence[Row]], Sequence[Inserted]],
) -> list[Inserted | Rejection]:
    """Insert ``rows`` in the open transaction; return per row its result or Rejection.

    ``insert`` returns one result per row and runs in a savepoint, several times
    over smaller parts when the database refuses data.
    """
    if not rows:
        return []
    try:
        with connection.begin_nested():
            inserted: list[Inserted | Rejection] = list(insert(connection, rows))
            reach("isolate.part_inserted")
            return inserted
    except (sa.exc.DBAPIError, UnicodeError, OverflowError, RecursionError) as error:
        rejection = _rejection(error)
        if rejection is None:
            raise
    reach("isolate.part_refused")
    if len(rows) == 1:
        return [rejection]
    middle = len(rows) // 2
    first = insert_isolated(connection, rows[:middle], insert)
    return first + insert_isolated(connection, rows[middle:], insert)


def _rejection(error: Exception) -> Rejection | None:
    """Return why the data is refused, without repeating it; None if it is not at fault."""
    if not isinstance(error, sa.exc.DBAPIError):  # the driver could not write a value down
        text = f"a value cannot be sent to the database: {type(error).__name__}"
        return Rejection(Stage.INSERT, _NOT_STORABLE, text)
    if verdict_of(error) is not Verdict.REJECT:
        return None
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate == _UNIQUE_VIOLATION:
        return None
    if sqlstate is None:
        return Rejection(Stage.INSERT, _NOT_STORABLE, "the driver refuses a value")
    code = CODES.get(sqlstate, f"sqlstate_{sqlstate.lower()}")
    text = f"the database refuses the row: {type(error.orig).__name__} ({sqlstate})"
    return Rejection(Stage.INSERT, code, text)
