"""Redrive all that may work now: open dead letters of the table, or copies in a topic.

Each letter is a transaction of its own, so that a run that was cut short can
simply be repeated: what was redriven stays one execution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from jobu_core.crash_points import reach
from jobu_core.dispatcher.queue.copies import Copy, read_copy
from jobu_core.dispatcher.queue.dead_letters import redrive
from jobu_core.errors import Conflict, InvalidInput
from jobu_core.models import DeadLetterStatus
from jobu_core.store.dead_letters import insert_dead_letters, list_dead_letters
from jobu_core.store.engine import transaction
from jobu_core.store.executions import find_by_dedupe_key
from jobu_core.store.mirroring import note_copy
from jobu_core.store.positions import read_next_offset

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    import sqlalchemy as sa

    from jobu_core.config import Settings
    from jobu_core.dispatcher.catalog import HandlerCatalog
    from jobu_core.dispatcher.queue.adapter.base import BaseQueueAdapter
    from jobu_core.models import QueueMessage

_AT_ONCE: Final = 100
_QUIET_SECONDS: Final = 3.0
"""Offsets may have holes: a topic that stays silent this long has been read."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one letter or copy."""

    place: str
    letter_id: UUID | None
    outcome: Literal["redriven", "refused", "settled", "foreign", "undecided"]
    execution_id: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Redriver:
    """Redrives many letters in one person's name."""

    engine: sa.Engine
    catalog: HandlerCatalog
    settings: Settings
    who: str

    def redrive_open(self, *, code: str | None, limit: int) -> Iterator[Outcome]:
        """Redrive the newest open letters of the table, all or those with ``code``."""
        with transaction(self.engine) as connection:
            found = list_dead_letters(
                connection,
                status=DeadLetterStatus.OPEN,
                code=code,
                limit=limit,
            )
        for letter in reversed(found):  # in the order in which they were refused
            at = letter.coordinates
            yield self._redrive(f"{at.topic}/{at.partition}@{at.offset}", letter.id)

    def redrive_copies(
        self,
        adapter: BaseQueueAdapter,
        *,
        code: str | None = None,
    ) -> Iterator[Outcome]:
        """Redrive what the adapter's topic holds now, all or what was refused with ``code``.

        A letter that the table has lost is put back first. Nothing is committed
        to the queue: the table knows what was done. Raises an Outage.
        """
        for message in _read_whole(adapter):
            copy = read_copy(message)
            place = f"{message.topic}/{message.partition}@{message.offset}"
            if copy is None or copy.group_id != self.settings.queue_dispatcher.kafka_group_id:
                text = "not a copy that this consumer group has made"
                yield Outcome(place, None, "foreign", detail=text)
            elif code is None or copy.rejection.code == code:
                yield self._put_back(copy, message.topic, place) or self._redrive(
                    place, copy.letter_id
                )

    def _put_back(self, copy: Copy, topic: str, place: str) -> Outcome | None:
        """See that the table has the letter; return why it must not have it."""
        at = copy.coordinates
        key = f"event:{copy.group_id}:{at.topic}:{at.generation}:{at.partition}:{at.offset}"
        with transaction(self.engine) as connection:
            made = find_by_dedupe_key(connection, key)
            if made is not None:  # read again after a backup was restored, and good by then
                return Outcome(place, copy.letter_id, "settled", made, "ingest has made it")
            position = read_next_offset(connection, copy.group_id, at)
            if position is None or position <= at.offset:
                text = "the original message is yet to be read; ingest will decide it"
                return Outcome(place, copy.letter_id, "undecided", detail=text)
            refused = [(copy.original, copy.generation, copy.rejection)]
            if insert_dead_letters(connection, copy.group_id, refused):
                note_copy(connection, copy.letter_id, topic)
            reach("redrive.letter_put_back")
        reach("redrive.put_back_committed")
        return None

    def _redrive(self, place: str, letter_id: UUID) -> Outcome:
        try:
            made = redrive(self.engine, self.catalog, self.settings, letter_id, who=self.who)
        except InvalidInput as error:
            return Outcome(place, letter_id, "refused", detail=str(error))
        except Conflict as error:
            return Outcome(place, letter_id, "settled", detail=str(error))
        return Outcome(place, letter_id, "redriven", made)


def _read_whole(adapter: BaseQueueAdapter) -> Iterator[QueueMessage]:
    """Yield what every partition holds at this moment, however long each is worked on."""
    marks = {at: adapter.watermarks(at) for at in adapter.partitions()}
    left = {at: mark.high for at, mark in marks.items() if mark.low < mark.high}
    adapter.seek({at: marks[at].low for at in left})
    while left and (messages := adapter.fetch(_AT_ONCE, _QUIET_SECONDS)):
        for message in messages:
            if message.offset < left.get(message.partition, 0):
                yield message
            if message.offset + 1 >= left.get(message.partition, 0):
                left.pop(message.partition, None)
