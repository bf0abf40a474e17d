"""One tick of the event side: fetch → decode → one transaction → broker commit.

The stored positions and the dedupe keys make it exactly once; the lock, or the
group, only keeps two processes from doing the same work. A tick may die anywhere.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import structlog

from jobu_core.clock import SystemClock
from jobu_core.crash_points import reach
from jobu_core.dispatcher.queue.batch import BatchWriter, decode_all
from jobu_core.dispatcher.queue.mirror import Mirror
from jobu_core.dispatcher.queue.resume import Standing, resume
from jobu_core.dispatcher.queue.turn import turn_of
from jobu_core.errors import PositionMoved, QueueUnavailable
from jobu_core.store.backlog import count_pending
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    import sqlalchemy as sa

    from jobu_core.clock import Clock
    from jobu_core.config import Settings
    from jobu_core.dispatcher.catalog import HandlerCatalog
    from jobu_core.dispatcher.queue.adapter.base import BaseQueueAdapter
    from jobu_core.models import QueueMessage

log = structlog.get_logger(__name__)

BATCH_BYTES: Final = 16 * 1024 * 1024
"""A transaction's messages end here even if ``ingest_batch`` allows more."""

RECHECK_SECONDS: Final = 5.0
"""How old the comparison of positions and topic may get while reading goes on."""

_LOCK_WAIT_SECONDS: Final = 1.0
_TOPIC_POLL_SECONDS: Final = 0.5
_PAUSE_SECONDS: Final = 0.5
"""How long a tick that may take nothing waits, so that its caller can launch meanwhile."""


@dataclass(frozen=True, slots=True)
class IngestTick:
    """What a tick did; ``messages`` are for the tick's line in the UI."""

    consumed: int = 0
    created: tuple[int, ...] = ()
    dead: int = 0
    duplicates: int = 0
    messages: tuple[str, ...] = ()


@dataclass(slots=True)
class _Tally:
    """Counts of the running tick."""

    created: list[int] = field(default_factory=list)
    dead: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    consumed: int = 0
    messages: list[str] = field(default_factory=list)

    def as_tick(self) -> IngestTick:
        """Return the result, with one line that sums it up."""
        if self.consumed:
            codes = ", ".join(f"{code} {count}" for code, count in sorted(self.dead.items()))
            self.messages.append(
                f"{self.consumed} messages: {len(self.created)} executions,"
                f" {self.dead.total()} dead letters{f' ({codes})' if codes else ''},"
                f" {self.duplicates} duplicates",
            )
        return IngestTick(
            consumed=self.consumed,
            created=tuple(self.created),
            dead=self.dead.total(),
            duplicates=self.duplicates,
            messages=tuple(self.messages),
        )


class Ingest:
    """Reads one topic for one group; kept open between ticks so that it stays warm.

    Usable again after any error: the next tick opens, compares and seeks anew.
    """

    def __init__(
        self,
        engine: sa.Engine,
        registry: HandlerCatalog,
        settings: Settings,
        adapter: BaseQueueAdapter,
        clock: Clock | None = None,
    ) -> None:
        """Take what to read with; nothing is opened yet."""
        self._engine = engine
        self._registry = registry
        self._settings = settings
        self._queue = settings.queue_dispatcher
        self._adapter = adapter
        self._clock = clock or SystemClock()
        self._lock = turn_of(engine, self._queue, adapter.topic)
        self._mirror = Mirror(engine, settings, adapter, self._clock)
        self._turn = threading.Lock()
        self._standing: Standing | None = None
        self._next: dict[int, int] = {}
        self._checked_at = 0.0
        self._lock_take = 0
        self._was_missing = False

    def __enter__(self) -> Self:
        """Try to take the lock of this group and topic; see ``tick`` when it is taken."""
        self._lock.hold()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close everything."""
        self.close()

    def close(self) -> None:
        """Let go of the lock and the queue; the next tick would open them again."""
        self._forget()
        self._adapter.close()
        self._lock.release()

    def release(self) -> None:
        """Let another process have its turn, but stay connected to the queue."""
        self._lock.release()

    def tick(self, budget_seconds: float) -> IngestTick:
        """Poll for up to ``budget_seconds``; return as soon as a backlog is written.

        Raises an Outage when the queue or the job store cannot be reached, and
        TopicChanged or ConfigError when a person must decide; nothing was
        dead-lettered for these, and no position moved.
        """
        if not self._turn.acquire(blocking=False):
            return IngestTick(messages=("another tick of this process is under way",))
        try:
            return self._tick(self._clock.monotonic() + budget_seconds)
        finally:
            self._turn.release()

    def _tick(self, deadline: float) -> IngestTick:
        left = deadline - self._clock.monotonic()
        if not self._lock.hold(wait_seconds=min(left, _LOCK_WAIT_SECONDS)):
            text = f"standing by: another process reads topic {self._adapter.topic}"
            return IngestTick(messages=(text,))
        reach("ingest.lock_taken")
        tally = _Tally()
        try:
            with self._forgetting_on_error():
                if self._stand(tally, deadline):
                    self._drain(tally, deadline)
        except PositionMoved as moved:
            tally.messages.append(f"{moved}; the positions will be read again")
        tally.messages += self._mirror.send_due()
        if tally.consumed:
            log.info(
                "ingested",
                topic=self._adapter.topic,
                consumed=tally.consumed,
                executions=len(tally.created),
                dead=tally.dead.total(),
                duplicates=tally.duplicates,
            )
        return tally.as_tick()

    def _stand(self, tally: _Tally, deadline: float) -> bool:
        """Make sure that reading starts from the table; False while there is no topic."""
        age = self._clock.monotonic() - self._checked_at
        is_fresh = self._lock.takes == self._lock_take and age < RECHECK_SECONDS
        if self._standing is not None and is_fresh:
            return True
        self._adapter.open()
        while isinstance(standing := self._resume(deadline), str):
            if self._clock.monotonic() >= deadline:
                tally.messages.append(standing)
                return False
            self._clock.sleep(_TOPIC_POLL_SECONDS)
        tally.messages += standing.messages
        reach("ingest.positions_settled")
        self._read_from(standing)
        self._lock_take = self._lock.takes
        self._checked_at = self._clock.monotonic()
        return True

    def _read_from(self, standing: Standing) -> None:
        """Seek, unless the queue is being read at just these positions already."""
        before = self._standing
        is_same = before is not None and before.generation == standing.generation
        if not is_same or standing.next_offsets != self._next:
            # Whoever wrote these may have died before the broker heard of it.
            self._tell_broker({at: next_ for at, next_ in standing.next_offsets.items() if next_})
            self._next = dict(standing.next_offsets)
            self._adapter.seek(self._next)
        self._standing = standing

    def _resume(self, deadline: float) -> Standing | str:
        """Return where to read from, or what is being waited for."""
        left = max(0.0, deadline - self._clock.monotonic())
        mine = self._adapter.granted(min(left, _TOPIC_POLL_SECONDS))
        standing = resume(
            self._engine,
            self._adapter,
            self._settings,
            mine=mine,
            appeared=self._was_missing,
        )
        where = f"{self._adapter.topic} at {self._adapter.address}"
        if standing is None:
            self._was_missing = True
            return f"topic {where} does not exist yet; waiting for it"
        if not standing.next_offsets:
            return f"standing by: the group has given no partition of topic {where} to this process"
        return standing

    def _drain(self, tally: _Tally, deadline: float) -> None:
        """Wait for messages once, then write batches until none is left or time is up."""
        room = self._room()
        wait = max(0.0, deadline - self._clock.monotonic())
        if room <= 0:
            self._adapter.rest(min(wait, _PAUSE_SECONDS))
            self._forget()
        moved: dict[int, int] = {}
        while room > 0 and (messages := self._gather(wait, room)):
            before = len(tally.created)
            moved |= self._write(messages, tally)
            room -= len(tally.created) - before
            wait = 0.0
            if self._clock.monotonic() >= deadline:
                break
        if room <= 0:
            tally.messages.append(
                f"paused: {self._queue.max_pending} executions are pending"
                " (queue_dispatcher.max_pending); messages wait in the topic",
            )
        self._tell_broker(moved)

    def _room(self) -> int:
        """Return how many executions may be added before ``max_pending`` is reached."""
        most = self._queue.max_pending
        with transaction(self._engine) as connection:
            return most - count_pending(connection, most)

    def _gather(self, wait_seconds: float, room: int) -> list[QueueMessage]:
        """Collect one transaction's worth of messages; wait only for the first."""
        most = min(self._queue.ingest_batch, room)
        gathered: list[QueueMessage] = []
        size = 0
        while len(gathered) < most and size < BATCH_BYTES:
            at_once = min(self._queue.kafka_max_poll_records, most - len(gathered))
            fetched = self._adapter.fetch(at_once, 0.0 if gathered else wait_seconds)
            if not fetched:
                break
            gathered += fetched
            size += sum(len(message.value or b"") for message in fetched)
        return gathered

    def _write(self, messages: Sequence[QueueMessage], tally: _Tally) -> Mapping[int, int]:
        """Store one batch and its positions; return the positions."""
        standing = self._standing
        if standing is None or self._adapter.identity().differs_from(standing.identity):
            # Asked after the fetch: what was fetched may be of a topic made anew.
            self._adapter.close()
            raise PositionMoved(f"topic {self._adapter.topic} was replaced while it was read")
        decoded = decode_all(messages, max_bytes=self._queue.max_message_bytes)
        reach("ingest.messages_decoded")
        with transaction(self._engine) as connection:
            writer = BatchWriter(connection, self._registry, self._settings, standing.generation)
            written = writer.write(self._next, decoded)
            reach("ingest.batch_written")
        reach("ingest.batch_committed")
        self._next.update(written.next_offsets)
        tally.consumed += len(messages)
        tally.created += written.created
        tally.duplicates += written.duplicates
        tally.dead += written.dead
        return written.next_offsets

    def _tell_broker(self, positions: Mapping[int, int]) -> None:
        """Commit for the queue's lag tools; the table has decided already."""
        if not positions:
            return
        try:
            self._adapter.commit(positions)
            reach("ingest.broker_told")
        except QueueUnavailable as error:
            log.warning("broker_commit_failed", topic=self._adapter.topic, error=str(error))
            self._forget()

    @contextmanager
    def _forgetting_on_error(self) -> Iterator[None]:
        """After any error, open the queue and compare the positions anew at the next tick."""
        try:
            yield
        except PositionMoved:  # the queue is as good as before, and a group is not left for it
            self._forget()
            raise
        except BaseException:
            self._forget()
            self._adapter.close()
            raise

    def _forget(self) -> None:
        self._standing = None
        self._next = {}
