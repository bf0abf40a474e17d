"""What a person does with a dead letter: send it again, perhaps corrected, or discard it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jobu_core.crash_points import reach
from jobu_core.dispatcher.queue.event import decode_event
from jobu_core.dispatcher.queue.isolate import insert_isolated
from jobu_core.dispatcher.queue.ordering import serial_key
from jobu_core.dispatcher.queue.resolve import TimedEvent, resolve_events
from jobu_core.errors import Conflict, InvalidInput
from jobu_core.models import DeadLetterStatus, NewExecution, Rejection, Trigger
from jobu_core.store import audit
from jobu_core.store.dead_letters import get_dead_letter, settle_dead_letter
from jobu_core.store.engine import transaction
from jobu_core.store.executions import insert_executions

if TYPE_CHECKING:
    from uuid import UUID

    import sqlalchemy as sa

    from jobu_core.config import Settings
    from jobu_core.dispatcher.catalog import HandlerCatalog
    from jobu_core.models import DeadLetter

_OPEN: Final = DeadLetterStatus.OPEN


def redrive(
    engine: sa.Engine,
    registry: HandlerCatalog,
    settings: Settings,
    letter_id: UUID,
    *,
    edited_payload: bytes | None = None,
    who: str,
) -> int:
    """Make an execution of a dead letter and return its id.

    Repeating it with the same payload returns the same execution; another
    ``edited_payload`` is a redrive of its own. The original bytes are kept. Raises
    InvalidInput with the code when the message is still refused (it stays as it
    was), Conflict when it was discarded, NotFound.
    """
    with transaction(engine) as connection:
        letter = get_dead_letter(connection, letter_id, lock=True)
        if letter.status is DeadLetterStatus.DISCARDED:
            raise Conflict(f"dead letter {letter_id} was discarded")
        payload = _payload(letter, edited_payload)
        if letter.status is DeadLetterStatus.REDRIVEN and payload == _payload(letter, None):
            return _earlier_execution(letter)
        number = letter.redrive_count + 1
        row = replace(
            _row_of(connection, registry, settings, letter, payload),
            trigger=Trigger.REDRIVE,
            dedupe_key=f"redrive:{letter_id}:{number}",
            serial_key=serial_key(settings.queue_dispatcher, letter.coordinates.topic, letter.key),
            coordinates=letter.coordinates,
            message_key=letter.key,
            message_time=letter.message_time,
        )
        (made,) = insert_isolated(connection, [row], insert_executions)
        if isinstance(made, Rejection):
            raise InvalidInput(f"still refused: {made.code}: {made.message}")
        if made is None:  # the dead letter is locked and its count was read under the lock
            raise Conflict(f"redrive {number} of dead letter {letter_id} exists already")
        reach("redrive.execution_inserted")
        settle_dead_letter(
            connection,
            letter_id,
            DeadLetterStatus.REDRIVEN,
            execution_id=made,
            redrive_count=number,
            edited_payload=edited_payload,
        )
        reach("redrive.letter_settled")
        subject, after = f"dead_letters/{letter_id}", {"execution": made, "redrive": number}
        audit.record(connection, who, "dead_letter.redrive", subject, after=after)
        reach("redrive.audited")
    reach("redrive.committed")
    return made


def discard(engine: sa.Engine, letter_id: UUID, *, who: str, why: str | None = None) -> None:
    """Settle a dead letter as not worth sending again; repeating it changes nothing.

    Raises Conflict when it was redriven, NotFound.
    """
    with transaction(engine) as connection:
        letter = get_dead_letter(connection, letter_id, lock=True)
        if letter.status is DeadLetterStatus.DISCARDED:
            return
        if letter.status is not _OPEN:
            raise Conflict(f"dead letter {letter_id} was redriven as {letter.execution_id}")
        settle_dead_letter(connection, letter_id, DeadLetterStatus.DISCARDED)
        reach("discard.letter_settled")
        audit.record(connection, who, "dead_letter.discard", f"dead_letters/{letter_id}", why=why)
        reach("discard.audited")


def _payload(letter: DeadLetter, edited: bytes | None) -> bytes | None:
    """Return the newest payload: the one given now, else the last edited, else the original."""
    if edited is not None:
        return edited
    return letter.edited_payload if letter.edited_payload is not None else letter.value


def _earlier_execution(letter: DeadLetter) -> int:
    if letter.execution_id is None:
        raise Conflict(f"dead letter {letter.id} was redriven; its execution has been pruned")
    return letter.execution_id


def _row_of(
    connection: sa.Connection,
    registry: HandlerCatalog,
    settings: Settings,
    letter: DeadLetter,
    payload: bytes | None,
) -> NewExecution:
    outcome: NewExecution | Rejection
    event = decode_event(payload, max_bytes=settings.queue_dispatcher.max_message_bytes)
    if isinstance(event, Rejection):
        outcome = event
    else:
        timed = TimedEvent(event, letter.message_time)
        (outcome,) = resolve_events(connection, registry, settings, [timed])
    if isinstance(outcome, Rejection):
        raise InvalidInput(f"still refused: {outcome.code}: {outcome.message}")
    return outcome
