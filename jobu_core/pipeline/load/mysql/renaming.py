"""RENAME TABLE by short attempts, and whether this user may do it at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

from pymysql import err

from jobu_core.errors import TargetBusy
from jobu_core.pipeline.load.mysql.failures import (
    INTERRUPTED,
    MAY_NOT,
    NO_SUCH_TABLE,
    number_of,
)
from jobu_core.pipeline.load.mysql.statements import composed, joined
from jobu_core.pipeline.load.mysql.statements import table as table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobu_core.clock import Clock
    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.load.mysql.statements import Sql

    Steps = Sequence[tuple[TableName, TableName]]
    """(name, new name), one after the other, as one change."""

LOCK_TRY_SECONDS: Final = 0.2
"""How long one attempt may hold up those who come after it; MySQL counts whole seconds."""
LOCK_PAUSE_SECONDS: Final = 0.1
RIGHTS: Final = "ALTER, CREATE, DROP and INSERT"
"""What renames ask for, on every table of the schema: the names are new ones."""

_RENAME: Final[LiteralString] = "RENAME TABLE {renames}"
_RENAME_IN_TIME: Final[LiteralString] = (
    "SET STATEMENT max_statement_time = %(seconds)s FOR RENAME TABLE {renames}"
)


def may_rename_beside(session: Session, target: TableName) -> bool:
    """Whether this user may make, rename and drop tables beside the target.

    The server is asked to rename a table that is not there: it looks at the rights
    first, so its answer counts grants of every kind, and nothing happens.
    """
    missing, also_missing = target.beside("jobu_new_probe"), target.beside("jobu_old_probe")
    try:
        session.run(_RENAME, renames=_renames([(missing, also_missing)]))
    except err.Error as error:
        if number_of(error) == NO_SUCH_TABLE:
            return True
        if number_of(error) not in MAY_NOT:
            raise
    return False


def rename_in_time(
    session: Session,
    steps: Steps,
    *,
    wait_seconds: float,
    clock: Clock,
    done: Callable[[], bool],
    prepare: Callable[[], None],
) -> None:
    """Rename by short attempts, so that nobody queues long behind us.

    ``prepare`` is called before each of them. One that was interrupted may have
    succeeded all the same, so ``done`` looks at the tables. Raises TargetBusy after
    ``wait_seconds``, and what the server has against the renames.
    """
    give_up = clock.monotonic() + wait_seconds
    while True:
        try:
            prepare()
            _try(session, steps)
        except err.Error as error:
            if session.connection.open and done():
                return
            if number_of(error) not in INTERRUPTED:
                raise
        else:
            return
        if clock.monotonic() >= give_up:
            held = steps[0][0]
            raise TargetBusy(f"{held}: readers or writers held the table for {wait_seconds:g} s")
        clock.sleep(LOCK_PAUSE_SECONDS)


def _try(session: Session, steps: Steps) -> None:
    if session.server.mariadb:
        session.run(_RENAME_IN_TIME, {"seconds": LOCK_TRY_SECONDS}, renames=_renames(steps))
        return
    session.run("SET SESSION lock_wait_timeout = 1")
    session.run(_RENAME, renames=_renames(steps))


def _renames(steps: Steps) -> Sql:
    return joined(
        composed("{name} TO {to}", name=table_name(name), to=table_name(to)) for name, to in steps
    )
