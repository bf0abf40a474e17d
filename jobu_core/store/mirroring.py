"""Which dead letters are owed to a topic, and what became of their copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import func, select

from jobu_core.store.dead_letters import to_dead_letter
from jobu_core.store.schema import dead_letters as rows

if TYPE_CHECKING:
    from uuid import UUID

    from jobu_core.models import DeadLetter


@dataclass(frozen=True, slots=True)
class Owed:
    """A dead letter and the topic that was to get a copy when it was refused."""

    topic: str
    letter: DeadLetter


def take_owed(connection: sa.Connection, most: int) -> list[Owed]:
    """Mark the oldest letters that are owed as sent, and return them by topic.

    The caller sends them before its transaction ends, or rolls back. What another
    process is sending is left to it.
    """
    oldest = (
        select(rows.c.id)
        .where(rows.c.mirror_topic.is_not(None), rows.c.mirrored_at.is_(None))
        .order_by(rows.c.created_at, rows.c.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    marked = (
        rows.update()
        .where(rows.c.id.in_(oldest.scalar_subquery()))
        .values(mirrored_at=func.jobu_now())
        .returning(*rows.c)
    )
    found = [Owed(row.mirror_topic, to_dead_letter(row)) for row in connection.execute(marked)]
    return sorted(found, key=lambda each: (each.topic, each.letter.coordinates.offset))


def note_copy(connection: sa.Connection, letter_id: UUID, topic: str) -> None:
    """Write that a letter has a copy in ``topic``, from which it can be redriven again."""
    values = {"mirror_topic": topic, "mirrored_at": func.jobu_now()}
    connection.execute(rows.update().where(rows.c.id == letter_id).values(**values))


def note_refusal(connection: sa.Connection, letter_id: UUID, why: str) -> None:
    """Write why the cluster will never take the copy of this letter."""
    connection.execute(rows.update().where(rows.c.id == letter_id).values(mirror_error=why))
