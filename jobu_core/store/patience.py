"""Waiting out an outage of the job store, without doing anything twice.

A COMMIT whose answer was lost may have taken effect. PostgreSQL remembers the fate
of every transaction by its id, so that nobody has to guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString, TypeVar

from sqlalchemy import text

from jobu_core.errors import StoreUnavailable
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from jobu_core.clock import Clock

Value = TypeVar("Value")

PAUSE_SECONDS: Final = 1.0

_OWN_ID: Final[LiteralString] = "SELECT CAST(pg_current_xact_id() AS text)"
_FATE: Final[LiteralString] = "SELECT pg_xact_status(CAST(:id AS xid8))"


def patiently(act: Callable[[], Value], *, clock: Clock, until: float) -> Value:
    """Call ``act`` until the store answers; raises StoreUnavailable when ``until`` has passed.

    ``act`` must be safe to repeat; ``until`` is a reading of ``clock``.
    """
    while True:
        try:
            return act()
        except StoreUnavailable:
            if clock.monotonic() > until:
                raise
            clock.sleep(PAUSE_SECONDS)


def write_once(
    engine: sa.Engine,
    write: Callable[[sa.Connection], Value],
    *,
    clock: Clock,
    until: float,
) -> Value:
    """Commit ``write`` exactly once, however often the connection is lost meanwhile.

    ``write`` runs anew only when its last transaction is known to be undone. Raises
    what ``write`` raises, and StoreUnavailable when ``until`` has passed: then the
    write may or may not have happened.
    """
    in_doubt: list[tuple[str, Value]] = []

    def act() -> Value:
        with transaction(engine) as connection:
            if in_doubt:
                number, value = in_doubt[0]
                if _has_committed(connection, number):
                    return value
                in_doubt.clear()
            value = write(connection)
            in_doubt.append((connection.execute(text(_OWN_ID)).scalar_one(), value))
        return value

    return patiently(act, clock=clock, until=until)


def _has_committed(connection: sa.Connection, number: str) -> bool:
    fate = connection.execute(text(_FATE), {"id": number}).scalar_one()
    if fate == "in progress":  # the server has not noticed yet that we had left
        raise StoreUnavailable("the transaction whose answer was lost is not ended yet")
    return bool(fate == "committed")
