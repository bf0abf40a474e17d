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


def rotate_installation(connection: Connection) -> str:
    """Give this store a new uuid, as after restoring a backup, and return it."""
    changed = (
        jobu_meta.update()
        .where(jobu_meta.c.key == "installation")
        .values(value=sa.func.gen_random_uuid().cast(sa.Text))
        .returning(jobu_meta.c.value)
    )
    return str(connection.execute(changed).scalar_one())
