"""What ``jobu_loads`` of a MySQL target says of the loads it has seen."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, LiteralString

from jobu_core.pipeline.load.mysql.manifest import exists, loads_of
from jobu_core.pipeline.load.mysql.session import open_session

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIST: Final[LiteralString] = """
SELECT load_id, target, mode, `rows`, rejected, execution_id, effective_time, loaded_at,
       load_key, source_sha256
FROM {loads}
WHERE (%(target)s IS NULL OR target = %(target)s) AND (%(load_id)s IS NULL OR load_id = %(load_id)s)
ORDER BY load_id DESC LIMIT %(limit)s
"""
_INSTANTS: Final = (6, 7)
"""Columns that hold UTC without saying so."""


def list_loads(url: str, database: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the newest loads first, ``values`` being what is asked for."""
    with open_session(url, database) as session:
        if not exists(session, loads_of(session)):
            return []
        rows = session.rows(_LIST, values, loads=loads_of(session))
    return [
        tuple(
            cell.replace(tzinfo=UTC) if at in _INSTANTS and cell is not None else cell
            for at, cell in enumerate(row)
        )
        for row in rows
    ]
