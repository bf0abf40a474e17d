"""Where ingest stands: rows of ``kafka_positions`` and ``offset_gaps``.

A position only rises, and only from the offset that its writer expects; that
and the dedupe key are what make ingest exactly once, not any lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from jobu_core.crash_points import reach
from jobu_core.errors import PositionMoved
from jobu_core.models import Position
from jobu_core.store.schema import kafka_positions as rows
from jobu_core.store.schema import offset_gaps

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jobu_core.models import Coordinates

_COLUMNS: Final = (
    rows.c.group_id,
    rows.c.topic,
    rows.c.generation,
    rows.c.partition,
    rows.c.cluster_id,
    rows.c.topic_id,
    rows.c.next_offset,
)


def read_positions(connection: sa.Connection, group_id: str, topic: str) -> list[Position]:
    """Return the positions of the newest generation, in partition order."""
    statement = (
        select(*_COLUMNS)
        .where(*_of(group_id, topic), rows.c.generation == _newest(group_id, topic))
        .order_by(rows.c.partition)
    )
    return [Position(*row) for row in connection.execute(statement)]


def lock_positions(
    connection: sa.Connection,
    group_id: str,
    topic: str,
    generation: int,
    partitions: Collection[int],
) -> dict[int, int]:
    """Lock rows in partition order; return the next offset of each.

    Raises PositionMoved when a row is missing or a newer generation has begun.
    """
    statement = (
        select(rows.c.partition, rows.c.next_offset)
        .where(
            *_of(group_id, topic),
            rows.c.generation == generation,
            rows.c.partition.in_(list(partitions)),
        )
        .order_by(rows.c.partition)
        .with_for_update()
    )
    found = {row.partition: row.next_offset for row in connection.execute(statement)}
    newest = connection.scalar(select(_newest(group_id, topic)))
    if newest != generation or len(found) != len(set(partitions)):
        raise PositionMoved(f"{topic}: generation {generation} is no longer the one being read")
    return found


def read_next_offset(connection: sa.Connection, group_id: str, at: Coordinates) -> int | None:
    """Return where the partition of ``at`` stands in that generation; None if never read."""
    found: int | None = connection.scalar(
        select(rows.c.next_offset).where(
            *_of(group_id, at.topic),
            rows.c.generation == at.generation,
            rows.c.partition == at.partition,
        ),
    )
    return found


def insert_positions(connection: sa.Connection, positions: Sequence[Position]) -> None:
    """Store first positions; one that exists already stays as it is."""
    if not positions:
        return
    statement = insert(rows).on_conflict_do_nothing(
        index_elements=["group_id", "topic", "generation", "partition"],
    )
    values = [
        {
            "group_id": each.group_id,
            "topic": each.topic,
            "generation": each.generation,
            "partition": each.partition,
            "cluster_id": each.cluster_id,
            "topic_id": each.topic_id,
            "start_offset": each.next_offset,
            "next_offset": each.next_offset,
        }
        for each in sorted(positions, key=lambda position: position.partition)
    ]
    connection.execute(statement, values)


def advance_positions(
    connection: sa.Connection,
    group_id: str,
    topic: str,
    generation: int,
    moves: Mapping[int, tuple[int, int]],
) -> None:
    """Move each partition from its expected offset to its next one.

    ``moves`` maps a partition to (expected, next). Raises PositionMoved when one
    is not where it was expected; the caller's transaction must then roll back.
    """
    statement = (
        rows.update()
        .where(
            *_of(group_id, topic),
            rows.c.generation == generation,
            rows.c.partition == bindparam("at"),
            rows.c.next_offset == bindparam("expected"),
        )
        .values(next_offset=bindparam("after"), updated_at=func.jobu_now())
    )
    for partition, (expected, after) in sorted(moves.items()):
        values = {"at": partition, "expected": expected, "after": after}
        if connection.execute(statement, values).rowcount != 1:
            raise PositionMoved(f"{topic}/{partition}: the position is no longer {expected}")
        reach("positions.one_advanced")


def learn_identity(
    connection: sa.Connection,
    group_id: str,
    topic: str,
    generation: int,
    *,
    cluster_id: str | None,
    topic_id: str | None,
) -> None:
    """Store the parts of the topic's identity that were not known before."""
    connection.execute(
        rows.update()
        .where(*_of(group_id, topic), rows.c.generation == generation)
        .values(
            cluster_id=func.coalesce(rows.c.cluster_id, cluster_id),
            topic_id=func.coalesce(rows.c.topic_id, topic_id),
        ),
    )


def record_gap(connection: sa.Connection, position: Position, to_offset: int) -> None:
    """Write that the offsets from the position up to ``to_offset`` are lost."""
    connection.execute(
        insert(offset_gaps)
        .values(
            group_id=position.group_id,
            topic=position.topic,
            generation=position.generation,
            partition=position.partition,
            from_offset=position.next_offset,
            to_offset=to_offset,
        )
        .on_conflict_do_nothing(
            index_elements=["group_id", "topic", "generation", "partition", "from_offset"],
        ),
    )


def _of(group_id: str, topic: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return rows.c.group_id == group_id, rows.c.topic == topic


def _newest(group_id: str, topic: str) -> sa.ScalarSelect[int | None]:
    every = rows.alias("every")
    return (
        select(func.max(every.c.generation))
        .where(every.c.group_id == group_id, every.c.topic == topic)
        .scalar_subquery()
    )
