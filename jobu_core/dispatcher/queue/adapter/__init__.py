"""The seam to a message queue: one contract, several implementations."""

from __future__ import annotations

from jobu_core.dispatcher.queue.adapter.base import (
    BaseQueueAdapter,
    OutgoingMessage,
    TopicIdentity,
    Watermarks,
)

__all__ = ["BaseQueueAdapter", "OutgoingMessage", "TopicIdentity", "Watermarks"]
