"""What ingest asks of a queue. An adapter moves bytes; it never decodes or decides.

The contract, which tests/contract/ holds every adapter to:

- One adapter reads one topic for one group, and one thread uses it at a time.
- The queue remembers nothing for us. Where to read from is told with ``seek``;
  there is no reset policy and no automatic commit. What ``commit`` stores is for
  the queue's own lag tools and is never read back.
- A reader that shares the topic with the others of its group may read what
  ``granted`` names. When that changes, ``fetch`` raises PositionMoved.
- ``fetch`` returns messages of one partition in offset order, without repeats,
  beginning at the offset that ``seek`` named. Offsets may have holes.
- After any exception the place where the adapter stands is unknown: call
  ``seek`` (or ``close`` and ``open``) before the next ``fetch``.
- Whatever may pass by waiting (no connection, no leader, no permission yet) is
  QueueUnavailable. A setting that can never work is ConfigError. No message,
  whatever its bytes, makes an adapter raise.
- Waits are bounded: by the timeout given, else by a few seconds.
- ``open`` and ``close`` may be called again in any order; ``close`` never raises.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from jobu_core.models import QueueMessage


@dataclass(frozen=True, slots=True)
class TopicIdentity:
    """Tells a topic from another one of the same name; None = the queue cannot say."""

    cluster_id: str | None
    topic_id: str | None

    def differs_from(self, other: TopicIdentity) -> bool:
        """Return whether a part that both know is different."""
        pairs = ((self.cluster_id, other.cluster_id), (self.topic_id, other.topic_id))
        return any(mine and theirs and mine != theirs for mine, theirs in pairs)


@dataclass(frozen=True, slots=True)
class Watermarks:
    """``low``: first offset still kept; ``high``: offset of the next message to come."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to publish; partition None lets the queue choose by key."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: datetime | None = None
    partition: int | None = None


class BaseQueueAdapter(ABC):
    """One topic of a queue, read from explicit positions."""

    def __init__(self, topic: str) -> None:
        """Remember which topic; nothing is opened."""
        self.topic = topic

    @property
    @abstractmethod
    def address(self) -> str:
        """Where the queue is, for messages to people; holds no secret."""

    @abstractmethod
    def open(self) -> None:
        """Make the adapter ready; does not wait for the queue to answer."""

    @abstractmethod
    def close(self) -> None:
        """Let go of every resource; never raises, returns within seconds."""

    @abstractmethod
    def partitions(self) -> tuple[int, ...]:
        """Return the topic's partitions in order; empty while it does not exist."""

    @abstractmethod
    def identity(self) -> TopicIdentity:
        """Return who the topic is now, asked from the queue each time."""

    @abstractmethod
    def watermarks(self, partition: int) -> Watermarks:
        """Return which offsets of ``partition`` the queue still holds."""

    def granted(self, timeout_seconds: float) -> frozenset[int] | None:  # noqa: ARG002 - a group waits
        """Return the partitions that this reader may read; None = all, there is no group.

        A member of a group waits up to ``timeout_seconds`` for its first ones.
        """
        return None

    @abstractmethod
    def seek(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions from now on, each from its offset."""

    @abstractmethod
    def fetch(self, max_records: int, timeout_seconds: float) -> list[QueueMessage]:
        """Return what is there, up to ``max_records``; wait for a first message.

        Returns an empty list when nothing came within ``timeout_seconds``, and as
        soon as it has anything. An offset that the queue no longer holds is
        QueueUnavailable: compare with ``watermarks`` and seek again.
        """

    @abstractmethod
    def rest(self, timeout_seconds: float) -> None:
        """Wait that long without reading, and stay a member of the group; ``seek`` after it."""

    @abstractmethod
    def commit(self, positions: Mapping[int, int]) -> None:
        """Tell the queue how far the group is; best effort, may return before it is done."""

    @abstractmethod
    def committed(self) -> Mapping[int, int]:
        """Return what the queue believes the group has committed; for doctor and tests."""

    @abstractmethod
    def lag(self, positions: Mapping[int, int]) -> Mapping[int, int]:
        """Return per partition how many offsets lie between the position and the end."""

    @abstractmethod
    def publish(self, topic: str, messages: Sequence[OutgoingMessage]) -> list[tuple[int, int]]:
        """Send ``messages`` and return (partition, offset) of each, in order.

        Returns only when the queue has confirmed all of them. Raises InvalidInput
        for a message that the queue refuses, QueueUnavailable when it is not known
        whether all arrived.
        """

    def __enter__(self) -> Self:
        """Open the adapter."""
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the adapter."""
        self.close()
