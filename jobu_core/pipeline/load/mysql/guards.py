"""What forbids a load into MySQL whatever its columns are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.errors import LoadRefused
from jobu_core.pipeline.load.mysql.tables import count_rows
from jobu_core.pipeline.load.request import Mode, Strategy

if TYPE_CHECKING:
    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.load.request import LoadRequest


def refuse_truncate(request: LoadRequest) -> None:
    """Raise LoadRefused for the strategy that MySQL cannot undo."""
    if request.strategy is Strategy.TRUNCATE:
        raise LoadRefused(
            f"{request.target}: MySQL commits a TRUNCATE at once, so a failed load would "
            "leave the table empty; use replace_strategy swap or delete"
        )


def rows_before(session: Session, request: LoadRequest, *, there: bool) -> int | None:
    """Return how many rows a replace would replace; None where no guard asks for it."""
    if request.mode is not Mode.REPLACE or request.guards.max_shrink is None or not there:
        return None
    return count_rows(session, request.target)


def check_guards(request: LoadRequest, rows: int, before: int | None) -> None:
    """Raise LoadRefused when ``rows`` are too few to replace those of a table.

    ``before`` is what ``rows_before`` returned.
    """
    if request.mode is not Mode.REPLACE:
        return
    if rows == 0 and not request.guards.allow_empty:
        raise LoadRefused(
            f"{request.target}: the file has no rows; a replace would empty the table "
            "(allow_empty: true if that is meant)"
        )
    shrink = request.guards.max_shrink
    if shrink is None or before is None:
        return
    if rows < before * (1 - shrink):
        raise LoadRefused(
            f"{request.target}: would shrink from {before} to {rows} rows, "
            f"more than max_shrink {shrink:g} allows"
        )
