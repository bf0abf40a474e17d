"""What a stage cost, for its report: seconds, and bytes in and out."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from jobu_core.clock import Clock


@dataclass(slots=True)
class Stopwatch:
    """Seconds of a block, once it has ended."""

    seconds: float = 0.0


@contextmanager
def timed(clock: Clock) -> Iterator[Stopwatch]:
    """Measure the block."""
    watch, began = Stopwatch(), clock.monotonic()
    yield watch
    watch.seconds = round(clock.monotonic() - began, 3)


def cost(
    watch: Stopwatch, *, read: Sequence[Path] = (), wrote: Path | None = None
) -> dict[str, Any]:
    """Return ``seconds``, ``bytes_in`` and ``bytes_out``; None for what is no file."""
    return {
        "seconds": watch.seconds,
        "bytes_in": sum(each.stat().st_size for each in read) if read else None,
        "bytes_out": None if wrote is None else wrote.stat().st_size,
    }
