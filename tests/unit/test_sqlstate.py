"""What an error of the database means decides who must act."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import errors as pg

from jobu_core.errors import StoreUnavailable
from jobu_core.store.sqlstate import Verdict, classify, translated, verdict_of


@pytest.mark.parametrize(
    ("sqlstate", "verdict"),
    [
        (None, Verdict.RETRY),  # the connection itself failed
        ("08006", Verdict.RETRY),  # connection failure
        ("40001", Verdict.RETRY),  # serialization failure
        ("40P01", Verdict.RETRY),  # deadlock
        ("53300", Verdict.RETRY),  # too many connections
        ("55P03", Verdict.RETRY),  # lock not available
        ("57P01", Verdict.RETRY),  # admin shutdown
        ("25006", Verdict.RETRY),  # read only: a standby after a failover
        ("22003", Verdict.REJECT),  # numeric value out of range
        ("22P05", Verdict.REJECT),  # untranslatable character: NUL in text
        ("23505", Verdict.REJECT),  # unique violation
        ("54000", Verdict.REJECT),  # program limit exceeded
        ("42601", Verdict.BUG),  # syntax error
        ("42P01", Verdict.BUG),  # undefined table
        ("0A000", Verdict.BUG),  # feature not supported
    ],
)
def test_each_class_has_one_verdict(sqlstate: str | None, verdict: Verdict) -> None:
    """An outage is retried, data is rejected, our own mistakes are bugs."""
    assert classify(sqlstate) is verdict


def wrapped(error: psycopg.Error, *, invalidated: bool = False) -> sa.exc.DBAPIError:
    """Return ``error`` as SQLAlchemy raises it."""
    return sa.exc.DBAPIError("SELECT 1", {}, error, connection_invalidated=invalidated)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (wrapped(pg.DeadlockDetected()), Verdict.RETRY),
        (wrapped(pg.UndefinedTable(), invalidated=True), Verdict.RETRY),
        (wrapped(pg.UniqueViolation()), Verdict.REJECT),
        (sa.exc.TimeoutError("no connection left in the pool"), Verdict.RETRY),
        (psycopg.OperationalError("server closed the connection"), Verdict.RETRY),
        (psycopg.DataError("text may not contain NUL"), Verdict.REJECT),
        (psycopg.ProgrammingError("a wrong call"), Verdict.BUG),
        (ValueError("not the database's"), Verdict.BUG),
    ],
)
def test_the_verdict_looks_through_the_wrapping(error: Exception, verdict: Verdict) -> None:
    """SQLAlchemy's, psycopg's and foreign exceptions are told apart."""
    assert verdict_of(error) is verdict


def test_an_outage_becomes_store_unavailable_in_one_line() -> None:
    """The caller backs off by class; the text is the driver's first line."""
    with pytest.raises(StoreUnavailable, match=r"^job store unavailable: gone$"), translated():
        raise wrapped(psycopg.OperationalError("gone\nHINT: look at the server"))


def test_what_is_not_an_outage_passes_unchanged() -> None:
    """A violated constraint stays the driver's error, for whoever can judge it."""
    with pytest.raises(sa.exc.DBAPIError), translated():
        raise wrapped(pg.UniqueViolation())
