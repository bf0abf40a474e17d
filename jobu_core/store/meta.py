"""Facts about this job store as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from jobu_core.store.schema import jobu_meta

if TYPE_CHECKING:
    from sqlalchemy import Connection


def read_installation(connection: Connection) -> str:
    """Return the uuid that the first migration gave this store; part of every load key."""
    value = sa.select(jobu_meta.c.value).where(jobu_meta.c.key == "installation")
    return str(connection.execute(value).scalar_one())
