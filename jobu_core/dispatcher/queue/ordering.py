"""Which executions of events wait for each other: those of one message key."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jobu_core.config import QueueSettings

_READABLE: Final = re.compile(rb"[!-~]{1,200}")
"""Keys that may stand in the column as they are: printable, and short enough to be indexed."""


def serial_key(queue: QueueSettings, topic: str, key: bytes | None) -> str | None:
    """Return the serial key of a message with ``key``; None = it waits for nobody.

    Equal keys of one topic get the same, different ones never do, whatever their
    bytes. A message without a key has no order.
    """
    if key is None or not queue.order_by_key:
        return None
    if _READABLE.fullmatch(key):
        return f"event:{topic}:key:{key.decode('ascii')}"
    return f"event:{topic}:sha256:{hashlib.sha256(key).hexdigest()}"
