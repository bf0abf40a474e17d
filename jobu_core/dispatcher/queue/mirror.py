"""Copies of dead letters in a topic: the table decides, the topic follows.

A letter is marked as owed to the topic in the transaction that refuses its
message, and as sent in one that ends after the cluster has confirmed the copy.
So a copy is sent at least once and only for a letter that is in the table: a
crash or an outage may repeat one, never lose one, and a job store that cannot
be written never fills the topic.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

import structlog

from jobu_core.crash_points import reach
from jobu_core.dispatcher.queue.copies import copy_of
from jobu_core.errors import InvalidInput, Outage
from jobu_core.store.engine import transaction
from jobu_core.store.mirroring import Owed, note_refusal, take_owed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import sqlalchemy as sa

    from jobu_core.clock import Clock
    from jobu_core.config import Settings
    from jobu_core.dispatcher.queue.adapter.base import BaseQueueAdapter

log = structlog.get_logger(__name__)

BATCH: Final = 25
"""Copies per transaction; each may hold a megabyte."""

TURN_SECONDS: Final = 2.0
"""How long one tick sends; a larger debt is paid over several."""

RETRY_SECONDS: Final = 30.0
"""Pause after a failure: ingest must not wait for a topic that is not there."""


class Mirror:
    """Sends what is owed to ``dead_letter_topic``, a little in each tick."""

    def __init__(
        self,
        engine: sa.Engine,
        settings: Settings,
        adapter: BaseQueueAdapter,
        clock: Clock,
    ) -> None:
        """Take what to send with; nothing is opened."""
        self._engine = engine
        self._topic = settings.queue_dispatcher.dead_letter_topic
        self._adapter = adapter
        self._clock = clock
        self._not_before = 0.0

    def send_due(self) -> list[str]:
        """Send until nothing is owed or time is up; return what to say about it.

        An outage is said and tried again later: the letters are in the table.
        """
        if self._topic is None or self._clock.monotonic() < self._not_before:
            return []
        sent, deadline = 0, self._clock.monotonic() + TURN_SECONDS
        try:
            while (count := self._send_batch()) > 0:
                sent += count
                if count < BATCH or self._clock.monotonic() >= deadline:
                    break
        except Outage as outage:
            self._not_before = self._clock.monotonic() + RETRY_SECONDS
            log.warning("dead_letters_not_mirrored", topic=self._topic, reason=str(outage))
            return [f"dead letters wait to be copied to topic {self._topic}: {outage}"]
        return [f"{sent} dead letters copied to topic {self._topic}"] if sent else []

    def _send_batch(self) -> int:
        """Send one batch and return its size; nothing counts as sent if any of it fails."""
        with transaction(self._engine) as connection:
            # Marked first: a store that refuses writes is noticed before anything is sent.
            owed = take_owed(connection, BATCH)
            reach("mirror.letters_marked")
            refused: dict[UUID, str] = {}
            for topic, letters in groupby(owed, key=lambda each: each.topic):
                refused |= self._publish(topic, list(letters))
            reach("mirror.copies_confirmed")
            for letter_id, why in refused.items():
                log.error("dead_letter_not_mirrored", dead_letter=str(letter_id), reason=why)
                note_refusal(connection, letter_id, why)
        reach("mirror.committed")
        return len(owed)

    def _publish(self, topic: str, owed: Sequence[Owed]) -> dict[UUID, str]:
        """Send copies; return why the cluster will never take some of them."""
        try:
            self._adapter.publish(topic, [copy_of(each.letter) for each in owed])
        except InvalidInput as error:
            if len(owed) == 1:
                return {owed[0].letter.id: str(error)}
        else:
            return {}
        refused: dict[UUID, str] = {}
        for each in owed:
            refused |= self._publish(topic, [each])
        return refused
