"""Connections to the job store: pooled, UTC, named, with outages told from bugs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from jobu_core.errors import ConfigError
from jobu_core.store.sqlstate import translated

if TYPE_CHECKING:
    from collections.abc import Iterator


def psycopg_url(url: str) -> sa.URL:
    """Return ``url`` (``postgresql://…``) bound to psycopg 3.

    Raises ConfigError when it is not a PostgreSQL URL; the URL is not repeated
    in the message because it may hold a password.
    """
    try:
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        msg = "databases.default.url is not a URL of the form postgresql://user@host/name"
        raise ConfigError(msg) from None
    if parsed.get_backend_name() != "postgresql":
        msg = f"the job store must be PostgreSQL, not {parsed.get_backend_name()!r}"
        raise ConfigError(msg)
    return parsed.set(drivername="postgresql+psycopg")


def open_engine(url: str, *, application_name: str = "jobu", pool_size: int = 5) -> sa.Engine:
    """Return a pooled engine on the job store; the caller disposes of it.

    Sessions run in UTC. ``pool_pre_ping`` replaces connections that a server
    restart has cut.
    """
    return sa.create_engine(
        psycopg_url(url),
        pool_size=pool_size,
        max_overflow=10,
        pool_pre_ping=True,
        hide_parameters=True,  # params and results are the user's, not the log's
        connect_args={
            "application_name": application_name,
            "connect_timeout": 5,
            "options": "-c timezone=UTC",
        },
    )


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open one transaction; commit at the end, roll back on any exception.

    Raises StoreUnavailable instead of the driver's error when the database
    cannot be reached or went away, so that callers can back off.
    """
    with translated(), engine.begin() as connection:
        yield connection


def as_dict(row: sa.Row[Any]) -> dict[str, Any]:
    """Return a row as a plain dictionary keyed by column name."""
    return row._asdict()
