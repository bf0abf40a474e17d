"""What a run of the bench was asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobu_core.errors import InvalidParams

if TYPE_CHECKING:
    from pathlib import Path

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(MB|GB)", re.IGNORECASE)
_UNITS: Final = {"MB": 10**6, "GB": 10**9}


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured, how often, and where files go."""

    folder: Path
    """A scratch folder; the caller removes it."""
    rows: int = 2_000_000
    """Rows of the narrow file; the wide one has a tenth."""
    size_bytes: int = 5 * 10**9
    """Size of the CSV of ``memory.pipeline``."""
    runs: int = 3

    @property
    def wide_rows(self) -> int:
        """Rows of the wide file."""
        return max(1, self.rows // 10)


def size_in_bytes(text: str) -> int:
    """Return ``500MB`` or ``5GB`` in bytes; raises InvalidParams without a unit."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidParams(f"size: {text!r} is no size; write for example 500MB or 5GB")
    return int(float(match[1]) * _UNITS[match[2].upper()])
