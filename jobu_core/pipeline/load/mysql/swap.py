"""Replace by rename: load beside the table, then let the new one take its name.

Readers are shut out for one RENAME, which is atomic. Used only where the new table
is the old one's equal by what the server itself says of both.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pymysql import err

from jobu_core.crash_points import reach
from jobu_core.errors import JobuError, LoadRefused, TargetBusy
from jobu_core.pipeline.load.mysql.failures import MAY_NOT, TABLE_EXISTS, number_of
from jobu_core.pipeline.load.mysql.renaming import RIGHTS, may_rename_beside, rename_in_time
from jobu_core.pipeline.load.mysql.rows import send_rows
from jobu_core.pipeline.load.mysql.statements import Sql
from jobu_core.pipeline.load.mysql.statements import table as table_name
from jobu_core.pipeline.load.mysql.swap_ledger import (
    finish_or_give_back,
    finish_swap,
    mark_ready,
    note_swap,
    take_back,
    was_renamed,
)
from jobu_core.pipeline.load.mysql.tables import (
    children_of,
    count_rows,
    create_table,
    definition_of,
    next_number,
    triggers_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobu_core.clock import Clock
    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.mysql.columns import ColumnPlan
    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.load.mysql.swap_ledger import Swap
    from jobu_core.pipeline.load.request import LoadRequest
    from jobu_core.pipeline.load.source import Source

    Accept = Callable[[], None]
    PlansFor = Callable[[TableName], Sequence[ColumnPlan]]

_VERSIONED: Final = "WITH SYSTEM VERSIONING"


class CannotSwapError(Exception):
    """A swap would lose something; nothing has been done."""

    def __init__(self, reasons: Sequence[str]) -> None:
        """Keep what speaks against it."""
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


class TableAppearedError(Exception):
    """The table that was being made has been made by somebody else."""


def against_swap(session: Session, target: TableName) -> list[str]:
    """Return what a swap would lose, as far as it can be seen before it is tried."""
    found = [f"trigger {name} is on it" for name in triggers_of(session, target)]
    found += [f"foreign key {child.name} points at it" for child in children_of(session, target)]
    if _VERSIONED in definition_of(session, target):
        found.append("it keeps its history")
    return found


def swap_in(
    session: Session,
    request: LoadRequest,
    source: Source,
    plans: Sequence[ColumnPlan],
    clock: Clock,
    *,
    accept: Accept,
) -> int:
    """Replace the target's rows by renames; return how many there are now.

    ``accept`` is called once they are beside it, to refuse them or to finish the
    source. The caller holds the target's lock. Raises CannotSwapError when the new table
    would not be the old one's equal.
    """
    target = request.target
    reasons = against_swap(session, target)
    if not may_rename_beside(session, target):
        reasons.append(f"tables beside it need the rights {RIGHTS} on {target.schema}")
    if reasons:
        raise CannotSwapError(reasons)
    before = definition_of(session, target)
    swap = note_swap(session, request, definition=before)
    try:
        _copy_definition(session, swap, before)
        rows = _fill(session, swap, source, plans)
        accept()
        request.check_lease()
        _continue_numbers(session, swap)
        swap = mark_ready(session, swap, rows, source.known())
        wait = request.lock_wait_seconds
        _rename(session, swap, wait_seconds=wait, clock=clock, before=before)
    except BaseException:
        _undo(session, swap)
        raise
    reach("mysql_swap.renamed")
    undone = finish_or_give_back(session, swap, request.lock_wait_seconds, clock)
    if undone is not None:
        raise undone
    return rows


def make_new(
    session: Session,
    request: LoadRequest,
    source: Source,
    plans_for: PlansFor,
    clock: Clock,
    *,
    accept: Accept,
) -> tuple[int, Sequence[ColumnPlan]]:
    """Make the missing target, filled before it has its name; return rows and columns.

    ``accept`` is called before it gets its name. The caller holds the target's lock.
    Raises TableAppearedError when somebody else made it meanwhile.
    """
    if not may_rename_beside(session, request.target):
        raise LoadRefused(
            f"{request.target} does not exist, and a load that makes it needs the rights "
            f"{RIGHTS} on {request.target.schema}"
        )
    swap = note_swap(session, request, definition=None)
    try:
        create_table(session, swap.new, source.schema, keys=request.keys)
        reach("mysql_swap.made")
        plans = plans_for(swap.new)
        rows = _fill(session, swap, source, plans)
        accept()
        request.check_lease()
        swap = mark_ready(session, swap, rows, source.known())
        _rename(session, swap, wait_seconds=request.lock_wait_seconds, clock=clock)
    except BaseException:
        _undo(session, swap)
        raise
    reach("mysql_swap.made_renamed")
    finish_swap(session, swap)
    return rows, plans


def _fill(
    session: Session,
    swap: Swap,
    source: Source,
    plans: Sequence[ColumnPlan],
) -> int:
    """Load the new table in a transaction of its own; return its rows, counted there."""
    with session.transaction():
        sent = send_rows(session, swap.new, source, plans)
        landed = count_rows(session, swap.new)
    expected = source.known().rows
    if not sent == landed == expected:
        raise LoadRefused(
            f"{swap.target}: {expected} rows in the file, {sent} sent, {landed} in the new table"
        )
    session.rows("ANALYZE NO_WRITE_TO_BINLOG TABLE {table}", table=table_name(swap.new))
    reach("mysql_swap.filled")
    return landed


def _copy_definition(session: Session, swap: Swap, wanted: str) -> None:
    """Make the new table like the target; what LIKE does not carry speaks against a swap."""
    try:
        session.run(
            "CREATE TABLE {new} LIKE {target}",
            new=table_name(swap.new),
            target=table_name(swap.target),
        )
    except err.Error as error:
        if number_of(error) not in MAY_NOT:
            raise
        raise CannotSwapError(["no table may be created beside it"]) from None
    reach("mysql_swap.staged")
    if definition_of(session, swap.new) != wanted:
        raise CannotSwapError(["a foreign key, a check or an option of it is not carried over"])


def _insist_unaltered(session: Session, target: TableName, before: str) -> None:
    if definition_of(session, target) != before:
        raise TargetBusy(f"{target} was altered while it was loaded")


def _continue_numbers(session: Session, swap: Swap) -> None:
    """Let AUTO_INCREMENT go on where the old table got to, as TRUNCATE would not."""
    reached = next_number(session, swap.target)
    if reached is not None and reached > (next_number(session, swap.new) or 0):
        session.run(
            "ALTER TABLE {new} AUTO_INCREMENT = {number}",
            new=table_name(swap.new),
            number=Sql(str(reached)),
        )


def _rename(
    session: Session, swap: Swap, *, wait_seconds: float, clock: Clock, before: str = ""
) -> None:
    """Give the new table the target's name; raises TargetBusy when others held it too long."""
    steps = [(swap.new, swap.target)]
    if swap.old is not None:
        steps.insert(0, (swap.target, swap.old))

    def prepare() -> None:
        if swap.old is not None:
            _insist_unaltered(session, swap.target, before)

    try:
        rename_in_time(
            session,
            steps,
            wait_seconds=wait_seconds,
            clock=clock,
            done=lambda: was_renamed(session, swap),
            prepare=prepare,
        )
    except err.Error as error:
        if number_of(error) == TABLE_EXISTS:
            raise TableAppearedError from None
        raise


def _undo(session: Session, swap: Swap) -> None:
    """Leave nothing, if the server still listens; else the next load does it."""
    if session.connection.open:
        with suppress(err.Error, JobuError):
            if was_renamed(session, swap):
                finish_or_give_back(session, swap)
            else:
                take_back(session, swap)
