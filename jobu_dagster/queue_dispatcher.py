"""The long-lived event dispatcher: ingest, launch at once, reconcile; needs no daemon.

``python -m jobu_dagster.queue_dispatcher``
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Final

import structlog

from jobu_core.clock import SystemClock
from jobu_core.config import load_settings
from jobu_core.config.secrets import redactor_of
from jobu_core.errors import Outage
from jobu_core.log import configure_logging
from jobu_dagster.launching import claim
from jobu_dagster.private import open_instance
from jobu_dagster.process import Process
from jobu_dagster.runs import DagsterRunGateway

if TYPE_CHECKING:
    from types import FrameType

    from jobu_core.clock import Clock

_log: Final = structlog.get_logger(__name__)
_POLL_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 10.0


class QueueDispatcher:
    """One loop over one topic; every pass may die at any line and be repeated."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Open nothing yet."""
        self._process = Process()
        self._clock = clock or SystemClock()
        self._gateway: DagsterRunGateway | None = None
        self._next_reconcile = 0.0
        self._failures = 0

    def run(self, stop: threading.Event) -> None:
        """Loop until ``stop`` is set; outages are waited out with growing pauses."""
        try:
            while not stop.is_set():
                try:
                    self.step()
                    self._failures = 0
                except Outage as outage:
                    self._failures += 1
                    pause = min(_LONGEST_PAUSE_SECONDS, 0.25 * 2**self._failures)
                    _log.warning("waiting", reason=str(outage), seconds=pause)
                    stop.wait(pause)
        finally:
            self._process.close()

    def step(self) -> None:
        """Ingest once, launch what is due, reconcile when it is time."""
        runtime = self._process.runtime()
        if self._gateway is None:
            instance = open_instance(runtime.settings.root)
            self._gateway = DagsterRunGateway(instance, runtime.settings.root, runtime.registry)
            self._reconciler = self._process.reconciler(instance)
        tick = self._process.ingest().tick(_POLL_SECONDS)
        if tick.consumed:
            _log.info(
                "ingested",
                consumed=tick.consumed,
                created=len(tick.created),
                dead=tick.dead,
                duplicates=tick.duplicates,
            )
        for batch in claim(runtime).batches:
            self._gateway.launch(batch)
        if self._clock.monotonic() >= self._next_reconcile:
            self._reconciler.tick()
            pause = runtime.settings.dispatcher.reconcile_interval_seconds
            self._next_reconcile = self._clock.monotonic() + pause


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    configure_logging(redact=redactor_of(load_settings()))
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    _log.info("queue dispatcher started")
    QueueDispatcher().run(stop)
    _log.info("queue dispatcher ended")


if __name__ == "__main__":
    main()
