"""The cron jobs that events refer to, held so that they cannot vanish meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from jobu_core.store.cron_jobs import get_jobs
from jobu_core.store.schema import cron_jobs

if TYPE_CHECKING:
    from collections.abc import Collection

    import sqlalchemy as sa

    from jobu_core.models import CronJob


def hold_jobs(connection: sa.Connection, ids: Collection[int]) -> dict[int, CronJob]:
    """Return the jobs that exist, by id, none of which can be deleted until commit.

    The key-share lock is the one that the foreign key takes anyway: cron ticks
    and edits go on beside it.
    """
    if not ids:
        return {}
    statement = (
        select(cron_jobs.c.id)
        .where(cron_jobs.c.id.in_(sorted(ids)))
        .order_by(cron_jobs.c.id)
        .with_for_update(read=True, key_share=True)
    )
    return get_jobs(connection, list(connection.scalars(statement)))
