"""``jobu loads undo``: a load taken back, and who did it in the audit log."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from jobu_core.crash_points import reach
from jobu_core.pipeline.load.undo import undo_load
from jobu_core.store import audit
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    import sqlalchemy as sa

    from jobu_core.pipeline.load.undo import Undone


def undo_audited(
    engine: sa.Engine,
    url: str,
    database: str,
    load_id: int,
    *,
    who: str,
    why: str | None = None,
) -> Undone:
    """Undo a load and write it to the audit log; raises what ``undo_load`` raises.

    Two databases: a process that dies between both commits leaves an undo that only the
    manifest tells of, by whom and when, and never an entry without its undo.
    """
    with transaction(engine) as connection:
        done = undo_load(url, database, load_id, who=who)
        audit.record(
            connection,
            who,
            "loads.undo",
            f"jobu_loads/{database}/{load_id}",
            after=asdict(done),
            why=why,
        )
        reach("undo.audited")
    return done
