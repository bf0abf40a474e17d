"""Which rejected rows were loaded again by which execution: a ledger per first execution.

Kept in ``jobu_meta`` under the root's id, in the same transaction as the execution
that loads the rows. Whoever holds the row's lock decides alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, LiteralString

import sqlalchemy as sa

from jobu_core.store.executions import EXECUTION_COLUMNS, to_execution
from jobu_core.store.schema import job_executions, jobu_meta

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobu_core.models import Execution

Claims = dict[int, frozenset[int]]
"""Execution → numbers of the rows that it was made for."""

_OPEN: Final[LiteralString] = """
INSERT INTO jobu_meta (key, value) VALUES (:key, '{}') ON CONFLICT (key) DO NOTHING
"""


def lock_claims(connection: sa.Connection, root_id: int) -> Claims:
    """Return the claims on the rejects of a root; others wait until the transaction ends."""
    connection.execute(sa.text(_OPEN), {"key": _key(root_id)})
    value = sa.select(jobu_meta.c.value).where(jobu_meta.c.key == _key(root_id)).with_for_update()
    written: dict[str, str] = json.loads(connection.execute(value).scalar_one())
    return {int(execution): frozenset(_numbers(rows)) for execution, rows in written.items()}


def write_claims(
    connection: sa.Connection, root_id: int, claims: Mapping[int, Iterable[int]]
) -> None:
    """Write the ledger that ``lock_claims`` of this transaction returned, changed."""
    value = {str(execution): _ranges(rows) for execution, rows in claims.items()}
    connection.execute(
        jobu_meta.update()
        .where(jobu_meta.c.key == _key(root_id))
        .values(value=json.dumps(value, sort_keys=True))
    )


def chain_of(connection: sa.Connection, root_id: int) -> list[Execution]:
    """Return a first execution and all operator retries of it, the oldest first."""
    rows = job_executions.c
    found = connection.execute(
        sa.select(*EXECUTION_COLUMNS)
        .where(sa.or_(rows.id == root_id, rows.root_execution_id == root_id))
        .order_by(rows.id)
    )
    return [to_execution(row) for row in found]


def _key(root_id: int) -> str:
    return f"reloaded:{root_id}"


def _ranges(numbers: Iterable[int]) -> str:
    """Return ``1-3,7`` for 1, 2, 3 and 7."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in parts)


def _numbers(ranges: str) -> Iterable[int]:
    for part in ranges.split(",") if ranges else ():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
