"""Durations inside one process.

What time it is, for due dates and deadlines, is the database's to say
(``jobu_now()``); a Clock only measures how long something took or should wait.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock that can wait."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary, fixed point."""

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``; zero or less returns at once."""


class SystemClock:
    """The machine's own monotonic clock."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary, fixed point."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``; zero or less returns at once."""
        if seconds > 0:
            time.sleep(seconds)


class ManualClock:
    """A clock that moves only when told to, for tests and simulation."""

    def __init__(self, start: float = 0.0) -> None:
        """Start at ``start`` seconds."""
        self._now = start
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        """Return the current reading in seconds."""
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        """Advance by ``seconds`` without waiting."""
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Move the clock forward by ``seconds``."""
        with self._lock:
            self._now += seconds
