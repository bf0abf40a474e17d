"""How far a stage has come: told after each batch, passed on at a bounded pace.

::

    meter.start("preprocess", total_bytes=…)    once per stage
    meter.at(rows, read_bytes)                  after each batch, counted from the start

A meter that passes nothing on costs a call per batch; none is ever made per row.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobu_core.clock import Clock


@dataclass(frozen=True, slots=True)
class Progress:
    """What a stage has done so far, and of how much."""

    stage: str
    rows: int
    total_rows: int | None
    """None while only the bytes tell how much there is."""
    bytes: int | None
    """Of the input file, as it lies on disk; what was read ahead counts as read."""
    total_bytes: int | None
    seconds: float
    """Since the stage began."""

    @property
    def rows_per_second(self) -> float | None:
        """The mean since the stage began; None before there is one."""
        return self.rows / self.seconds if self.seconds > 0 else None

    @property
    def share(self) -> float | None:
        """Which part is done, 0 to 1: by rows where their total is known, else by bytes."""
        for done, total in ((self.rows, self.total_rows), (self.bytes, self.total_bytes)):
            if total and done is not None:
                return min(1.0, done / total)
        return None

    @property
    def eta_seconds(self) -> float | None:
        """How long the rest takes at the mean rate; None when that cannot be told."""
        return self.seconds * (1 - self.share) / self.share if self.share else None

    def as_json(self) -> dict[str, Any]:
        """Return the fields, the rate and the rest of the time; unknown is None."""
        rate, eta = self.rows_per_second, self.eta_seconds
        return asdict(self) | {
            "seconds": round(self.seconds, 1),
            "rows_per_second": None if rate is None else round(rate),
            "eta_seconds": None if eta is None else round(eta, 1),
        }


class Meter(Protocol):
    """Hears how far a stage has come."""

    def start(
        self, stage: str, *, total_rows: int | None = None, total_bytes: int | None = None
    ) -> None:
        """Begin a stage, or begin it again: counts and time start from nothing."""

    def at(self, rows: int, read_bytes: int | None = None) -> None:
        """Hear the counts since the stage began; raises what those who are told raise.

        Without ``read_bytes`` they are the rows' share of the total.
        """


class _Silent:
    """Passes nothing on."""

    def start(
        self, stage: str, *, total_rows: int | None = None, total_bytes: int | None = None
    ) -> None:
        """Begin nothing."""

    def at(self, rows: int, read_bytes: int | None = None) -> None:
        """Hear nothing."""


SILENT: Final[Meter] = _Silent()
"""For whoever does not want to know."""


@dataclass(slots=True)
class Listener:
    """Somebody who is told at most every so many seconds, the first time after as many."""

    every_seconds: float
    tell: Callable[[Progress], None]
    due: float = 0.0


class PacedMeter:
    """Tells each listener at its own pace; one per stage or attempt, for one thread at a time."""

    def __init__(self, clock: Clock, listeners: Iterable[Listener]) -> None:
        """Measure with ``clock``; nobody is told anything before a stage begins."""
        self._clock = clock
        self._listeners = tuple(listeners)
        self._stage = ""
        self._total_rows: int | None = None
        self._total_bytes: int | None = None
        self._began = clock.monotonic()
        for each in self._listeners:
            each.due = self._began + each.every_seconds

    def start(
        self, stage: str, *, total_rows: int | None = None, total_bytes: int | None = None
    ) -> None:
        """Begin a stage; the pace goes on, so that short stages tell no more often."""
        self._stage, self._total_rows, self._total_bytes = stage, total_rows, total_bytes
        self._began = self._clock.monotonic()

    def at(self, rows: int, read_bytes: int | None = None) -> None:
        """Tell those whose time has come; raises what they raise."""
        now = self._clock.monotonic()
        for each in self._listeners:
            if now >= each.due:
                each.due = now + each.every_seconds
                each.tell(self._progress(rows, read_bytes, now - self._began))

    def _progress(self, rows: int, read_bytes: int | None, seconds: float) -> Progress:
        if read_bytes is None and self._total_rows and self._total_bytes is not None:
            read_bytes = self._total_bytes * min(rows, self._total_rows) // self._total_rows
        return Progress(
            stage=self._stage,
            rows=rows,
            total_rows=self._total_rows,
            bytes=read_bytes,
            total_bytes=self._total_bytes,
            seconds=seconds,
        )
