"""Who may ingest now: one process of a group and topic, or every member of a shared one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from jobu_core.store.locks import SessionLock

if TYPE_CHECKING:
    import sqlalchemy as sa

    from jobu_core.config import QueueSettings


class Turn(Protocol):
    """The right to read, taken before each tick."""

    @property
    def takes(self) -> int:
        """How often it was taken; unchanged = held without a break since."""

    def hold(self, wait_seconds: float = 0.0) -> bool:
        """Make sure of it, waiting up to ``wait_seconds``; False when somebody else has it."""

    def release(self) -> None:
        """Let somebody else have it."""


class SharedTurn:
    """Everybody's turn: the group deals the partitions, the position fence decides."""

    takes = 0

    def hold(self, wait_seconds: float = 0.0) -> bool:  # noqa: ARG002 - nothing to wait for
        """Return True."""
        return True

    def release(self) -> None:
        """Keep the partitions; the group takes them from a process that stops ticking."""


def turn_of(engine: sa.Engine, queue: QueueSettings, topic: str) -> Turn:
    """Return what ``queue.mode`` asks for; nothing is taken yet."""
    if queue.mode == "group":
        return SharedTurn()
    return SessionLock(engine, "ingest", queue.kafka_group_id, topic)
