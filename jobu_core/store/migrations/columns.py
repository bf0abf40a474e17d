"""Column spellings that revisions share, so that each table reads as one screen.

Like ``sql.py``, what an applied revision used never changes.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql


def required(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    """Return a NOT NULL column without a default."""
    return sa.Column(name, kind, nullable=False)


def optional(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    """Return a nullable column."""
    return sa.Column(name, kind, nullable=True)


def identity() -> sa.Column[int]:
    """Return the ``id`` column that the database counts."""
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False)


def defaulted(name: str, kind: sa.types.TypeEngine[Any], default: str) -> sa.Column[Any]:
    """Return a NOT NULL column; ``default`` is SQL."""
    return sa.Column(name, kind, server_default=sa.text(default), nullable=False)


def number(name: str, default: int) -> sa.Column[Any]:
    """Return a NOT NULL integer with a default."""
    return defaulted(name, sa.Integer(), str(default))


def instant(name: str) -> sa.Column[Any]:
    """Return a nullable timestamptz."""
    return optional(name, sa.DateTime(timezone=True))


def stamped(name: str) -> sa.Column[Any]:
    """Return a NOT NULL timestamptz that starts as jobu_now()."""
    return defaulted(name, sa.DateTime(timezone=True), "jobu_now()")


def document(name: str, default: str) -> sa.Column[Any]:
    """Return a NOT NULL jsonb; ``default`` is JSON text."""
    return defaulted(name, postgresql.JSONB(), f"'{default}'::jsonb")
