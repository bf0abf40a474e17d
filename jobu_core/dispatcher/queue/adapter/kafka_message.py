"""A message of the Kafka client as a QueueMessage: bytes, nothing decoded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from operator import methodcaller
from typing import Final, Protocol

from jobu_core.errors import QueueUnavailable
from jobu_core.models import QueueMessage

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_TIMESTAMP: Final = 0

_read_headers: Final = methodcaller("headers")
"""``message.headers()``, by a call that notices errors: where a header's name is not
UTF-8 the client returns a broken tuple *and* leaves an exception pending, which
CPython's specialised call of a method does not look at; touching that tuple may crash."""

UNREADABLE_HEADERS: Final = (("jobu-headers-unreadable", None),)
"""Stands for headers of which a name is not UTF-8; the client cannot return them."""


class ClientMessage(Protocol):
    """What is read of ``confluent_kafka.Message``."""

    def topic(self) -> str | None:
        """Return the topic."""

    def partition(self) -> int | None:
        """Return the partition."""

    def offset(self) -> int | None:
        """Return the offset."""

    def key(self) -> bytes | str | None:
        """Return the key."""

    def value(self) -> bytes | str | None:
        """Return the value."""

    def headers(self) -> object:
        """Return the headers."""

    def timestamp(self) -> tuple[int, int]:
        """Return the kind of timestamp, and milliseconds since 1970."""


def to_message(message: ClientMessage) -> QueueMessage:
    """Return a message without an error as a value; whatever its bytes, it does not raise."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:  # only messages with an error
        raise QueueUnavailable("the client returned a message without coordinates")
    return QueueMessage(
        topic=topic,
        partition=partition,
        offset=offset,
        key=_as_bytes(message.key()),
        value=_as_bytes(message.value()),
        headers=_headers(message),
        timestamp=_timestamp(message),
    )


def _as_bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _headers(message: ClientMessage) -> tuple[tuple[str, bytes | None], ...]:
    try:
        found = _read_headers(message) or []
    except (SystemError, UnicodeDecodeError):  # a header name that is not UTF-8
        return UNREADABLE_HEADERS
    return tuple((str(header[0]), _as_bytes(header[1])) for header in found)


def _timestamp(message: ClientMessage) -> datetime | None:
    kind, milliseconds = message.timestamp()
    if kind == _NO_TIMESTAMP:
        return None
    try:
        return EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:  # the producer may name any 64-bit number
        return None
