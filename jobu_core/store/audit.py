"""Who changed what, and why: one row per change that a person made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jobu_core.store.schema import audit_log

if TYPE_CHECKING:
    from collections.abc import Mapping


def record(
    connection: sa.Connection,
    who: str,
    what: str,
    subject: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    why: str | None = None,
) -> None:
    """Write one row in the caller's transaction, so that it stands or falls with the change.

    ``what`` is a verb with its noun (``cron.edit``), ``subject`` names the row
    (``cron_jobs/12``); ``before`` and ``after`` must fit in JSON.
    """
    connection.execute(
        audit_log.insert()
        .inline()  # without RETURNING, for which a role would need to read the log
        .values(
            who=who,
            what=what,
            subject=subject,
            before=sa.null() if before is None else dict(before),
            after=sa.null() if after is None else dict(after),
            why=why,
        ),
    )
