"""What tests of progress need: a meter that remembers, a clock that every look moves on."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobu_core.clock import ManualClock


@dataclass
class Heard:
    """A meter that keeps all that it was told."""

    started: list[tuple[str, int | None, int | None]] = field(default_factory=list)
    counts: list[tuple[int, int | None]] = field(default_factory=list)

    def start(
        self, stage: str, *, total_rows: int | None = None, total_bytes: int | None = None
    ) -> None:
        """Keep it."""
        self.started.append((stage, total_rows, total_bytes))

    def at(self, rows: int, read_bytes: int | None = None) -> None:
        """Keep it."""
        self.counts.append((rows, read_bytes))


class SteppingClock(ManualClock):
    """Every look at it takes a second: each batch seems slow."""

    def monotonic(self) -> float:
        """Return the next second."""
        self.advance(1.0)
        return super().monotonic()
