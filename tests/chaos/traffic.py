"""Events of four kinds, sent steadily, each acknowledged by the broker or reported lost."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from confluent_kafka import Producer

from tests.chaos.world import LOAD_INPUT, LOAD_TABLE, TOPIC

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

_FLUSH_SECONDS: Final = 240.0
_POLL_SECONDS: Final = 0.02


@dataclass(slots=True)
class Sent:
    """What the broker has acknowledged: (topic, partition, offset) by kind."""

    good: list[tuple[str, int, int]] = field(default_factory=list)
    bad: list[tuple[str, int, int]] = field(default_factory=list)
    loads: int = 0
    refused: list[str] = field(default_factory=list)


class Traffic(threading.Thread):
    """Sends ``count`` events evenly over ``seconds`` with an idempotent producer."""

    def __init__(self, bootstrap: str, count: int, seconds: float, seed: int) -> None:
        """Decide what is sent; nothing goes out yet."""
        super().__init__(name="chaos-traffic", daemon=True)
        quiet = logging.getLogger("chaos.producer")
        quiet.setLevel(logging.CRITICAL)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "log_level": 0,  # the broker is killed all the time
                "message.timeout.ms": int(_FLUSH_SECONDS * 1000),
                "linger.ms": 20,
            },
            logger=quiet,
        )
        self._count = count
        self._pause = seconds / count
        self._random = random.Random(f"traffic {seed}")  # noqa: S311 - repeatable, not secret
        self.sent = Sent()

    def run(self) -> None:
        """Send, keep to the pace, and wait for every acknowledgement."""
        started = time.monotonic()
        for number in range(self._count):
            self._send(number)
            due = started + (number + 1) * self._pause
            while (left := due - time.monotonic()) > 0:
                self._producer.poll(min(left, _POLL_SECONDS))
        unsent = self._producer.flush(_FLUSH_SECONDS)
        if unsent:
            self.sent.refused.append(f"{unsent} events were never acknowledged")

    def _send(self, number: int) -> None:
        kind = self._random.choices(("sample", "load", "pipeline", "bad"), (90, 7, 1, 2))[0]
        value = _message(kind, number)

        def acknowledged(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.sent.refused.append(str(error))
                return
            where = (TOPIC, int(message.partition() or 0), int(message.offset() or 0))
            (self.sent.bad if kind == "bad" else self.sent.good).append(where)
            self.sent.loads += kind == "load"

        self._producer.produce(TOPIC, value, key=str(number).encode(), on_delivery=acknowledged)


def _message(kind: str, number: int) -> bytes:
    if kind == "bad":
        return b'{"handler_name": "sample_handler", "params": '
    params = {
        "sample": ("sample_handler", {"number": number}),
        "load": (
            "db_loader",
            {"input_path": LOAD_INPUT, "target_table": LOAD_TABLE, "create": True},
        ),
        "pipeline": ("pipeline", {"dataset": "sample"}),
    }[kind]
    return json.dumps({"handler_name": params[0], "params": params[1]}).encode()
