"""What the cells of one column seem to be, counted while they pass.

Each pattern is narrower than what pydantic takes for the type, so that a person
who sees the type knows how the cells are written: ``007`` is text, not 7.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.pipeline.csv_reader import PANDAS_NULLS
from jobu_core.pipeline.infer.kinds import (
    AWARE,
    BOOL,
    DATE,
    DATETIME,
    FLOAT,
    INT,
    STR,
    TIME,
    UUID_,
    decimal_kind,
)
from jobu_core.pipeline.types import MAX_DECIMAL_DIGITS
from jobu_core.pipeline.validate.kernels import pc

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobu_core.pipeline.infer.kinds import Kind

_DAY: Final = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK: Final = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
_WHOLE: Final = r"[+-]?(0|[1-9]\d{0,17})"
_PLAIN: Final = r"[+-]?(0|[1-9]\d*)(\.\d+)?"
_PATTERNS: Final = {
    BOOL: r"(?i)(true|false)",
    INT: _WHOLE,
    FLOAT: r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?",
    DATE: _DAY,
    DATETIME: rf"{_DAY}[T ]{_CLOCK}",
    AWARE: rf"{_DAY}[T ]{_CLOCK}(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    TIME: _CLOCK,
    UUID_: r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
}
"""In the order in which they are preferred."""
_MOST_PLACES: Final = 6
"""Beyond that many digits after the point it is a measured number, not a counted one."""
_ROOM_DIGITS: Final = 18
_ENOUGH: Final = 0.98
"""Share of the cells that must fit a type for the others to be taken for mistakes."""


@dataclass(slots=True)
class Guess:
    """One column so far."""

    rows: int = 0
    nulls: int = 0
    plain: int = 0
    """Cells that are numbers without exponent."""
    places: int = 0
    digits: int = 0
    """Digits before the point."""
    fits: dict[Kind, int] = field(default_factory=dict)
    spelled: dict[str, int] = field(default_factory=dict)
    """Cells that spell null the way pandas reads it."""

    def take(self, cells: pa.Array[Any]) -> None:
        """Count more cells of the column."""
        self.rows += len(cells)
        self.nulls += cells.null_count
        known = cells.drop_null()
        for kind, pattern in _PATTERNS.items():
            self.fits[kind] = self.fits.get(kind, 0) + _true(_matching(known, pattern))
        self._take_spelled(known)
        self._take_plain(known)

    def kind(self, nulls: Collection[str] = ()) -> Kind:
        """Return what the column seems to be; ``nulls`` are spellings read as null."""
        left = self.rows - self.nulls - sum(self.spelled.get(each, 0) for each in nulls)
        if left <= 0:
            return STR
        best = max(_PATTERNS, key=lambda kind: self.fits[kind])
        if self.fits[best] < left * _ENOUGH:
            return STR
        counted = best is FLOAT and self.plain == self.fits[best]
        return self._number() if counted else best

    def _number(self) -> Kind:
        """Return the type of plain numbers: exact while they look counted."""
        digits = self.digits + self.places
        if self.places > _MOST_PLACES or digits > MAX_DECIMAL_DIGITS:
            return FLOAT
        return decimal_kind(min(MAX_DECIMAL_DIGITS, max(_ROOM_DIGITS, digits)), self.places)

    def _take_spelled(self, known: pa.Array[Any]) -> None:
        spelled = known.filter(pc.is_in(known, value_set=pa.array(PANDAS_NULLS)))
        for each in pc.value_counts(spelled).to_pylist():
            text = each["values"]
            self.spelled[text] = self.spelled.get(text, 0) + each["counts"]

    def _take_plain(self, known: pa.Array[Any]) -> None:
        plain = known.filter(_matching(known, _PLAIN))
        self.plain += len(plain)
        if not len(plain):
            return
        unsigned = pc.utf8_ltrim(plain, characters="+-")
        point = pc.find_substring(unsigned, ".")
        whole = pc.equal(point, -1)
        length = pc.utf8_length(unsigned)
        before = pc.if_else(whole, length, point)
        after = pc.if_else(whole, 0, pc.subtract(pc.subtract(length, point), 1))
        self.digits = max(self.digits, pc.max(before).as_py())
        self.places = max(self.places, pc.max(after).as_py())


def _matching(cells: pa.Array[Any], pattern: str) -> Any:  # noqa: ANN401 - a mask
    return pc.match_substring_regex(cells, rf"\A(?:{pattern})\z")


def _true(mask: Any) -> int:  # noqa: ANN401 - a mask
    return pc.sum(mask).as_py() or 0
