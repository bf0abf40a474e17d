"""SQLSTATE → what to do about it: retry, reject the data, or report a bug.

Classes follow PostgreSQL's appendix "Error Codes".
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import psycopg
import sqlalchemy as sa

from jobu_core.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


class Verdict(StrEnum):
    """What an error of the database says about who must act."""

    RETRY = "retry"
    REJECT = "reject"
    BUG = "bug"


_RETRY_CLASSES: Final = frozenset({"08", "40", "53", "57", "58"})
_RETRY_CODES: Final = frozenset({"55P03", "25006", "3D000", "28000", "28P01", "XX000"})
_REJECT_CLASSES: Final = frozenset({"21", "22", "23"})
_REJECT_CODES: Final = frozenset({"54000", "54001", "54011"})


def classify(sqlstate: str | None) -> Verdict:
    """Return what to do for ``sqlstate``; None means the connection itself failed."""
    if sqlstate is None or sqlstate[:2] in _RETRY_CLASSES or sqlstate in _RETRY_CODES:
        return Verdict.RETRY
    if sqlstate[:2] in _REJECT_CLASSES or sqlstate in _REJECT_CODES:
        return Verdict.REJECT
    return Verdict.BUG


def verdict_of(error: BaseException) -> Verdict:
    """Return the verdict for an exception of SQLAlchemy or psycopg."""
    if isinstance(error, sa.exc.TimeoutError):
        return Verdict.RETRY
    if isinstance(error, sa.exc.DBAPIError):
        if error.connection_invalidated:
            return Verdict.RETRY
        if error.orig is not None:
            return verdict_of(error.orig)
    if isinstance(error, psycopg.Error):
        if error.sqlstate is None:
            return _without_sqlstate(error)
        return classify(error.sqlstate)
    return Verdict.BUG


def _without_sqlstate(error: psycopg.Error) -> Verdict:
    if isinstance(error, psycopg.OperationalError):
        return Verdict.RETRY
    if isinstance(error, psycopg.DataError):
        return Verdict.REJECT
    return Verdict.BUG


@contextmanager
def translated() -> Iterator[None]:
    """Raise StoreUnavailable for errors that mean "the database is not there now"."""
    try:
        yield
    except (sa.exc.DBAPIError, sa.exc.TimeoutError, psycopg.Error) as error:
        if verdict_of(error) is not Verdict.RETRY:
            raise
        reason = getattr(error, "orig", None) or error
        first_line = str(reason).strip().splitlines()[:1]
        msg = f"job store unavailable: {first_line[0] if first_line else type(error).__name__}"
        raise StoreUnavailable(msg) from error
