"""Replace by rename: load beside the table, then let the new one take its name.

Readers are shut out only for the renames. Used only where nothing points at the
table itself and all it has can be carried over; that it was, is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

import psycopg
from psycopg import sql

from jobu_core.crash_points import reach
from jobu_core.errors import TargetBusy
from jobu_core.pipeline.load.carry import (
    continue_identities,
    own_serials,
    put_on,
    read_belongings,
    regrant,
    take_names,
)
from jobu_core.pipeline.load.portrait import dependents, paint
from jobu_core.pipeline.load.session import bound_locks, one
from jobu_core.pipeline.load.table import require_table

if TYPE_CHECKING:
    from jobu_core.clock import Clock
    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.portrait import Portrait
    from jobu_core.pipeline.load.table import Table

LOCK_TRY_SECONDS: Final = 0.2
"""How long one attempt at the lock may hold up those who come after it."""
LOCK_PAUSE_SECONDS: Final = 0.1

_NOT_CARRIED: Final = frozenset({"rule", "policy", "statistics", "security label"})
_NOT_CARRIED_FACTS: Final = frozenset({"options", "tablespace", "row security", "replica identity"})
_MAY_SWAP: Final[LiteralString] = """
SELECT pg_has_role(c.relowner, 'USAGE') AND c.relowner = current_user::regrole,
       has_schema_privilege(c.relnamespace, 'CREATE')
FROM pg_class AS c WHERE c.oid = %(table)s
"""
_FIRING: Final[LiteralString] = """
SELECT tgname FROM pg_trigger
WHERE tgrelid = %(table)s AND NOT tgisinternal AND tgenabled IN ('O', 'A')
  AND tgtype & (4 | 8 | 32) <> 0
ORDER BY tgname
"""


class SwapIncompleteError(Exception):
    """Something could not be carried over; the transaction must be rolled back."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        """Keep what speaks against a swap."""
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class Staged:
    """The new table beside the old, and what the old one looked like then."""

    old: Table
    new: Table
    name: TableName
    portrait: Portrait


def against_swap(connection: psycopg.Connection, table: Table) -> tuple[str, ...]:
    """Return what makes a swap impossible; empty when it can be tried."""
    if table.partitioned:
        return ("it is partitioned",)
    found = [f"{dependent} depends on it" for dependent in dependents(connection, table.oid)]
    owned, may_create = one(connection, _MAY_SWAP, {"table": table.oid})
    if not owned:
        found.append("another role owns it")
    if not may_create:
        found.append("no table may be created in its schema")
    for kind, name, said in sorted(paint(connection, table.oid)):
        if kind in _NOT_CARRIED or (kind == "table" and name in _NOT_CARRIED_FACTS):
            found.append(f"it has {kind} {name}" if kind != "table" else f"it has {name}")
        elif kind == "table" and name == "access method" and said != "heap":
            found.append(f"its access method is {said}")
        elif kind == "constraint" and said.startswith("FOREIGN KEY"):
            found.append(f"it has foreign key {name}")
    return tuple(dict.fromkeys(found))


def firing_triggers(connection: psycopg.Connection, table: Table) -> tuple[str, ...]:
    """Return the triggers that a replace fires when it deletes and inserts in place."""
    rows = connection.execute(_FIRING, {"table": table.oid}).fetchall()
    return tuple(str(name) for (name,) in rows)


def stage_beside(
    connection: psycopg.Connection,
    target: TableName,
    table: Table,
    load_id: int,
) -> Staged:
    """Create an empty table like the target, in the load's own transaction."""
    name = target.beside(f"jobu_new_{load_id}")
    unlogged = sql.SQL("UNLOGGED " if table.persistence == "u" else "")
    connection.execute(
        sql.SQL("CREATE {}TABLE {} (LIKE {} INCLUDING ALL)").format(
            unlogged, name.quoted, target.quoted
        ),
    )
    new = require_table(connection, name)
    old_has, new_has = (read_belongings(connection, each.oid) for each in (table, new))
    if [index.shape for index in old_has.indexes] != [index.shape for index in new_has.indexes]:
        raise SwapIncompleteError(("an index of it cannot be made again",))
    continue_identities(connection, old_has.sequences, new_has.sequences)
    return Staged(table, new, name, paint(connection, table.oid))


def lock_exclusively(
    connection: psycopg.Connection,
    target: TableName,
    *,
    wait_seconds: float,
    clock: Clock,
) -> None:
    """Take ACCESS EXCLUSIVE by short attempts, so that nobody queues long behind us.

    Each attempt is a savepoint of its own, because a timeout aborts what it is in.
    Raises TargetBusy after ``wait_seconds``.
    """
    statement = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(target.quoted)
    give_up = clock.monotonic() + wait_seconds
    while True:
        try:
            with connection.transaction():
                bound_locks(connection, LOCK_TRY_SECONDS)
                connection.execute(statement)
        except psycopg.errors.LockNotAvailable as error:
            if clock.monotonic() >= give_up:
                raise TargetBusy(
                    f"{target}: readers or writers held the table for {wait_seconds:g} s"
                ) from error
            clock.sleep(LOCK_PAUSE_SECONDS)
        else:
            bound_locks(connection, wait_seconds)
            return


def swap_in(connection: psycopg.Connection, target: TableName, staged: Staged) -> None:
    """Give the staged table the target's name and all that the target had.

    The caller holds the target's lock. Raises TargetBusy when somebody altered the
    table during the load, SwapIncompleteError when the new one is not its equal.
    """
    if paint(connection, staged.old.oid) != staged.portrait or dependents(
        connection, staged.old.oid
    ):
        raise TargetBusy(f"{target} was altered while it was loaded")
    old_has, new_has = (read_belongings(connection, each.oid) for each in (staged.old, staged.new))
    continue_identities(connection, old_has.sequences, new_has.sequences)
    aside = target.beside(staged.name.table.replace("_new_", "_old_"))
    rename = sql.SQL("ALTER TABLE {} RENAME TO {}")
    connection.execute(rename.format(target.quoted, sql.Identifier(aside.table)))
    reach("swap.old_renamed")
    connection.execute(rename.format(staged.name.quoted, sql.Identifier(target.table)))
    reach("swap.new_renamed")
    own_serials(connection, target, old_has.sequences)
    connection.execute(sql.SQL("DROP TABLE {}").format(aside.quoted))
    reach("swap.old_dropped")
    take_names(connection, target, old_has, new_has)
    put_on(connection, target, old_has)
    reach("swap.belongings_put_on")
    regrant(connection, target, old_has.grants, new_has.grants)
    reach("swap.granted")
    differing = paint(connection, staged.new.oid) ^ staged.portrait
    if differing:
        names = sorted({f"{kind} {name}" for kind, name, _ in differing})
        raise SwapIncompleteError(tuple(f"{name} cannot be carried over" for name in names))
