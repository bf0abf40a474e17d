"""What killed replaces left beside their tables: listed for ``jobu doctor``, settled on request.

Every load settles what it finds; this is for targets that nobody loads any more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

from jobu_core.pipeline.load.identifiers import TableName
from jobu_core.pipeline.load.mysql import swap_ledger
from jobu_core.pipeline.load.mysql.session import open_session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobu_core.pipeline.load.mysql.session import Session

_LOCK_WAIT_SECONDS: Final = 10
_OURS: Final = re.compile(r"jobu_(?:new|old)_[0-9a-f]{12}")
_TABLES: Final[LiteralString] = """
SELECT TABLE_NAME FROM information_schema.TABLES
WHERE TABLE_SCHEMA = %(schema)s AND TABLE_NAME LIKE 'jobu\\\\_%%' ORDER BY TABLE_NAME
"""


@dataclass(frozen=True, slots=True)
class LeftOvers:
    """What lies beside targets without a load at work."""

    swaps: tuple[str, ...]
    """Targets whose last replace died; the next load of the table settles them."""
    strangers: tuple[str, ...]
    """Tables named like jobu's that no ledger knows; never dropped by jobu."""


def sweep(url: str, database: str) -> list[str]:
    """Settle what killed replaces left in a target database; return what was done.

    Whatever a live load works at is left alone: it holds the table's lock. Raises
    TargetUnavailable when the server cannot be asked.
    """
    with open_session(url, database) as session:
        session.bound_locks(_LOCK_WAIT_SECONDS)
        return swap_ledger.sweep(session)


def find_left_overs(session: Session, schemas: Iterable[str]) -> LeftOvers:
    """Return what lies in these schemas and in the ledger's."""
    noted = swap_ledger.noted_swaps(session)
    dead = [each for each in noted if not _is_at_work(session, each.target)]
    known = {(name.schema, name.table) for each in noted for name in (each.new, each.old) if name}
    found = [
        TableName(session.database, schema, name)
        for schema in dict.fromkeys([session.schema, *schemas])
        for (name,) in session.rows(_TABLES, {"schema": schema})
        if _OURS.fullmatch(name) and (schema, name) not in known
    ]
    return LeftOvers(
        tuple(str(target) for target in dict.fromkeys(each.target for each in dead)),
        tuple(str(name) for name in found),
    )


def _is_at_work(session: Session, target: TableName) -> bool:
    lock = swap_ledger.target_lock(target)
    (holder,) = session.one("SELECT is_used_lock(%(name)s)", {"name": lock})
    return holder is not None
