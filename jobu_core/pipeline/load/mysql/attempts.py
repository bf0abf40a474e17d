"""Attempts of one execution: each holds a lock by its number, so that a later one finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pymysql import err

from jobu_core.pipeline.load.mysql.failures import NO_SUCH_THREAD, number_of
from jobu_core.pipeline.load.mysql.manifest import lock_name, release_lock, take_lock, try_lock
from jobu_core.pipeline.load.mysql.statements import Sql

if TYPE_CHECKING:
    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.load.request import LoadRequest

_END_WAIT_SECONDS: Final = 5


def begin_attempt(session: Session, request: LoadRequest) -> int:
    """End the connections of lower attempts, and be found by higher ones; return how many.

    A connection that rolls back much may need longer than we wait; what it holds is
    then waited for like any other lock.
    """
    ended = 0
    for attempt in range(1, request.attempt):
        name = _lock(request, attempt)
        (connection,) = session.one("SELECT is_used_lock(%(name)s)", {"name": name})
        if connection is None:
            continue
        _kill(session, int(connection))
        ended += 1
        if try_lock(session, name, _END_WAIT_SECONDS):
            release_lock(session, name)
    name = _lock(request, request.attempt)
    take_lock(session, name, request.lock_wait_seconds, f"{request.target}: attempt is running")
    return ended


def _kill(session: Session, connection: int) -> None:
    try:
        session.run("KILL {connection}", connection=Sql(str(connection)))
    except err.Error as error:
        if number_of(error) != NO_SUCH_THREAD:
            raise


def _lock(request: LoadRequest, attempt: int) -> str:
    return lock_name("attempt", f"{request.installation}:{request.execution_id}:{attempt}")
