"""What a dead letter looks like in a topic: the original message, and why it is there.

Key, value, headers and timestamp are those that were sent; the context comes in
headers of our own behind them. From these the letter can be read back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.models import Coordinates, Rejection, Stage
from jobu_core.store.dead_letters import dead_letter_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from jobu_core.models import DeadLetter, QueueMessage

_CONTEXT: Final = (
    "jobu-dead-letter",
    "jobu-stage",
    "jobu-code",
    "jobu-message",
    "jobu-group",
    "jobu-topic",
    "jobu-generation",
    "jobu-partition",
    "jobu-offset",
)
"""The last headers of every copy, in this order; a copy of a copy has them twice."""

_CODE_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class Copy:
    """A dead letter as it is found in a topic."""

    letter_id: UUID
    group_id: str
    generation: int
    original: QueueMessage
    """As it was first read, with its first coordinates."""
    rejection: Rejection

    @property
    def coordinates(self) -> Coordinates:
        """Where the original message lay."""
        at = self.original
        return Coordinates(at.topic, self.generation, at.partition, at.offset)


def copy_of(letter: DeadLetter) -> OutgoingMessage:
    """Return what is sent to the topic."""
    at = letter.coordinates
    context = (
        *(letter.id, letter.stage.value, letter.code, letter.message, letter.group_id),
        *(at.topic, at.generation, at.partition, at.offset),
    )
    added = zip(_CONTEXT, (str(value).encode() for value in context), strict=True)
    return OutgoingMessage(
        value=letter.value,
        key=letter.key,
        headers=(*letter.headers, *added),
        timestamp=letter.message_time,
    )


def read_copy(message: QueueMessage) -> Copy | None:
    """Return the letter that ``message`` is a copy of; None if it is none of ours."""
    headers, added = message.headers[: -len(_CONTEXT)], message.headers[-len(_CONTEXT) :]
    if tuple(name for name, _ in added) != _CONTEXT:
        return None
    try:
        found = {name: (value or b"").decode() for name, value in added}
        copy = _parse(found, replace(message, headers=headers))
    except ValueError:  # not text, not a number, not a stage: written by somebody else
        return None
    return copy if str(copy.letter_id) == found["jobu-dead-letter"] else None


def _parse(context: Mapping[str, str], message: QueueMessage) -> Copy:
    original = replace(
        message,
        topic=context["jobu-topic"],
        partition=int(context["jobu-partition"]),
        offset=int(context["jobu-offset"]),
    )
    if len(context["jobu-code"]) > _CODE_LENGTH:
        raise ValueError("no code of ours is that long")
    group, generation = context["jobu-group"], int(context["jobu-generation"])
    at = Coordinates(original.topic, generation, original.partition, original.offset)
    stage = Stage(context["jobu-stage"])
    return Copy(
        letter_id=dead_letter_id(group, at),
        group_id=group,
        generation=generation,
        original=original,
        rejection=Rejection(stage, context["jobu-code"], context["jobu-message"]),
    )
