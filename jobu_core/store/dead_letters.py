"""Rows of ``dead_letters``: messages that did not become executions, kept whole."""

from __future__ import annotations

import uuid
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from jobu_core.errors import InvalidInput, NotFound
from jobu_core.models import Coordinates, DeadLetter, DeadLetterStatus, Stage
from jobu_core.store.engine import as_dict
from jobu_core.store.schema import dead_letters as rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from jobu_core.models import QueueMessage, Rejection

_NAMESPACE: Final = uuid.UUID("3f0c9d1e-6a55-5d0b-9a4c-6a6f62755f31")
_MESSAGE_LENGTH: Final = 2000
_UUID_LENGTH: Final = 36
_COORDINATES: Final = ("topic", "generation", "partition", "offset")


def dead_letter_id(group_id: str, at: Coordinates) -> UUID:
    """Return the id that a message's dead letter has, whoever writes it."""
    name = f"{group_id}:{at.topic}:{at.generation}:{at.partition}:{at.offset}"
    return uuid.uuid5(_NAMESPACE, name)


def insert_dead_letters(
    connection: sa.Connection,
    group_id: str,
    refused: Sequence[tuple[QueueMessage, int, Rejection]],
    mirror_topic: str | None = None,
) -> int:
    """Keep refused messages, each with its topic's generation; return how many are new.

    Each is owed to ``mirror_topic``, if there is one.
    """
    if not refused:
        return 0
    values = [_values(group_id, *each) | {"mirror_topic": mirror_topic} for each in refused]
    statement = insert(rows).values(values).on_conflict_do_nothing(index_elements=["id"])
    return len(connection.execute(statement.returning(rows.c.id)).all())


def get_dead_letter(
    connection: sa.Connection, letter_id: UUID, *, lock: bool = False
) -> DeadLetter:
    """Return one dead letter, locked for a change if asked; raises NotFound."""
    statement = select(rows).where(rows.c.id == letter_id)
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    if row is None:
        raise NotFound(f"there is no dead letter {letter_id}")
    return to_dead_letter(row)


def find_dead_letter(connection: sa.Connection, reference: str) -> UUID:
    """Return the one id that begins with ``reference``; NotFound, or InvalidInput if several."""
    begins = reference.lower()
    if not begins or len(begins) > _UUID_LENGTH or set(begins) - set("0123456789abcdef-"):
        raise InvalidInput(f"{reference!r} is not the beginning of a dead letter's id")
    statement = select(rows.c.id).where(sa.cast(rows.c.id, sa.Text).startswith(begins)).limit(2)
    found = list(connection.scalars(statement))
    if not found:
        raise NotFound(f"there is no dead letter {reference}")
    if len(found) > 1:
        raise InvalidInput(f"several dead letters begin with {reference}")
    letter_id: UUID = found[0]
    return letter_id


def list_dead_letters(
    connection: sa.Connection,
    *,
    status: DeadLetterStatus | None = None,
    code: str | None = None,
    topic: str | None = None,
    limit: int = 50,
) -> list[DeadLetter]:
    """Return the newest dead letters first."""
    statement = select(rows).order_by(rows.c.created_at.desc(), rows.c.id).limit(limit)
    if status is not None:
        statement = statement.where(rows.c.status == status.value)
    if code is not None:
        statement = statement.where(rows.c.code == code)
    if topic is not None:
        statement = statement.where(rows.c.topic == topic)
    return [to_dead_letter(row) for row in connection.execute(statement)]


def settle_dead_letter(
    connection: sa.Connection,
    letter_id: UUID,
    status: DeadLetterStatus,
    *,
    execution_id: int | None = None,
    redrive_count: int | None = None,
    edited_payload: bytes | None = None,
) -> None:
    """Write what became of a locked dead letter; None leaves a column as it is."""
    changes: dict[str, Any] = {
        "execution_id": execution_id,
        "redrive_count": redrive_count,
        "edited_payload": edited_payload,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    connection.execute(rows.update().where(rows.c.id == letter_id).values(status=status, **given))


def to_dead_letter(row: sa.Row[Any]) -> DeadLetter:
    """Turn a row of all columns into the value."""
    values = as_dict(row)
    values["coordinates"] = Coordinates(**{name: values.pop(name) for name in _COORDINATES})
    values["stage"] = Stage(values["stage"])
    values["status"] = DeadLetterStatus(values["status"])
    values["headers"] = tuple(
        (name, None if value is None else b64decode(value)) for name, value in values["headers"]
    )
    return DeadLetter(**values)


def _values(
    group_id: str,
    message: QueueMessage,
    generation: int,
    rejection: Rejection,
) -> dict[str, Any]:
    at = Coordinates(message.topic, generation, message.partition, message.offset)
    return {
        "id": dead_letter_id(group_id, at),
        "group_id": group_id,
        **{name: getattr(at, name) for name in _COORDINATES},
        "stage": rejection.stage.value,
        "code": rejection.code,
        "message": rejection.message.replace("\0", "\\0")[:_MESSAGE_LENGTH],
        "key": message.key,
        "value": message.value,
        "headers": [[_storable(name), _to_text(value)] for name, value in message.headers],
        "message_time": message.timestamp,
    }


def _storable(name: str) -> str:
    return name.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _to_text(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()
