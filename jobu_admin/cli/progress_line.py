"""Progress as one line for a person: how much of how much, how fast, how long still."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEASURED: Final = frozenset({"stage", "rows", "seconds", "eta_seconds"})
_MEGABYTE: Final = 1_000_000
_MINUTE: Final = 60


def progress_line(progress: Any) -> Any:  # noqa: ANN401 - a handler writes what it likes
    """Return the line for what a data handler measured; anything else as it is."""
    if not isinstance(progress, dict) or not progress.keys() >= _MEASURED:
        return progress
    parts = [f"{_count(progress['rows'], progress.get('total_rows'))} rows"]
    if progress.get("bytes") is not None:
        parts.append(_megabytes(progress))
    if progress.get("rows_per_second") is not None:
        parts.append(f"{progress['rows_per_second']:,} rows/s")
    if progress["eta_seconds"] is not None:
        parts.append(f"about {_duration(progress['eta_seconds'])} left")
    return f"{progress['stage']}: {', '.join(parts)}"


def _count(done: int, total: int | None) -> str:
    return f"{done:,}" if total is None else f"{done:,} of {total:,}"


def _megabytes(progress: Mapping[str, Any]) -> str:
    done, total = progress["bytes"] / _MEGABYTE, progress.get("total_bytes")
    return f"{done:,.1f} MB" if total is None else f"{done:,.1f} of {total / _MEGABYTE:,.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest} s"
