"""A strptime format: cells that fit it become ISO 8601, in bulk where they are plain.

A cell fits if Python's ``strptime`` takes it (ASCII only, English names of months).
Cells whose fields have all their digits are rewritten by a regular expression and a
look at the calendar, which is the same; each other distinct cell goes to Python.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from jobu_core.errors import InvalidParams
from jobu_core.pipeline.validate.kernels import pc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobu_core.pipeline.validate.proofs import Cells, Mask

_PLAIN: Final[Mapping[str, str]] = {
    "Y": "([0-9]{4})",
    "m": "(0[1-9]|1[0-2])",
    "d": "(0[1-9]|[12][0-9]|3[01])",
    "H": "([01][0-9]|2[0-3])",
    "M": "([0-5][0-9])",
    "S": "([0-5][0-9])",
    "f": "([0-9]{1,6})",
}
"""Directive → its cells with all their digits; each is one group of the expression."""
KNOWN: Final = frozenset(_PLAIN) | frozenset("ybBIpz%")
_OF_THE_TIME: Final = frozenset("HIMSfpz")
_DIRECTIVE: Final = re.compile(r"%(.?)", re.DOTALL)
_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ISO_DAY_CHARACTERS: Final = 10


class MomentFormat:
    """One entry of ``csv.timestamp_formats``, checked when made."""

    def __init__(self, text: str) -> None:
        """Raise InvalidParams for a format that is no whole day, moment or time of day."""
        self.text = text
        found = _DIRECTIVE.findall(text)
        used = set(found) - {"%"}
        where = f"csv.timestamp_formats: {text!r}"
        if not text.isascii():
            raise InvalidParams(f"{where}: must be ASCII")
        for each in found:
            if each not in KNOWN:
                known = " ".join(f"%{one}" for one in sorted(KNOWN))
                raise InvalidParams(f"{where}: %{each} is not known here; there are {known}")
        if len(found) != len(set(found)) + max(found.count("%") - 1, 0):
            raise InvalidParams(f"{where}: a directive is there twice")
        self.has_day = bool(used & set("YymbBd"))
        self._has_time = bool(used & _OF_THE_TIME)
        parts = [bool(used & set("Yy")), bool(used & set("mbB")), "d" in used]
        if self.has_day and not all(parts):
            raise InvalidParams(f"{where}: a day needs its year, month and day")
        if not self.has_day and not used & set("HI"):
            raise InvalidParams(f"{where}: says neither a day nor an hour")
        if ("I" in used) != ("p" in used):
            raise InvalidParams(f"{where}: %I needs %p, and %p needs %I")
        self._plain = _plain_expression(text) if used <= set(_PLAIN) else None
        self._iso = self._template(found)

    def iso(self, cells: Cells) -> Cells:
        """Return the cells that fit as ISO 8601, null in place of all others."""
        found: Cells = pa.nulls(len(cells), pa.string())
        left: Mask = pc.is_valid(cells)
        if self._plain is not None:
            plain = pc.fill_null(pc.match_substring_regex(cells, self._plain), False)
            moments = pc.replace_substring_regex(
                pc.if_else(plain, cells, None), self._plain, self._iso
            )
            found = pc.if_else(_in_calendar(moments), moments, None) if self.has_day else moments
            left = pc.and_not(left, plain)
        others = cells.filter(left).dictionary_encode()
        if not len(others):
            return found
        read = pa.array([self._read(each) for each in others.dictionary.to_pylist()], pa.string())
        return pc.replace_with_mask(found, left, read.take(others.indices))

    def _read(self, cell: str) -> str | None:
        if not cell.isascii():
            return None
        try:
            found = dt.datetime.strptime(cell, self.text)  # noqa: DTZ007 - the format says
        except ValueError:
            return None
        if not self.has_day:
            return found.timetz().isoformat()
        return found.isoformat() if self._has_time else found.date().isoformat()

    def _template(self, found: list[str]) -> str:
        """Return the ISO form with the groups of the plain expression."""
        groups = [each for each in found if each != "%"]

        def of(directive: str) -> str:
            return rf"\{groups.index(directive) + 1}" if directive in groups else "00"

        fraction = "." + of("f") if "f" in groups else ""
        time = f"{of('H')}:{of('M')}:{of('S')}{fraction}"
        if not self.has_day:
            return time
        day = f"{of('Y')}-{of('m')}-{of('d')}"
        return f"{day}T{time}" if self._has_time else day


def _plain_expression(text: str) -> str:
    """Return the expression of cells whose fields have all their digits."""
    written, at = "", 0
    for each in _DIRECTIVE.finditer(text):
        written += re.escape(text[at : each.start()])
        written += "%" if each[1] == "%" else _PLAIN[each[1]]
        at = each.end()
    return f"^{written}{re.escape(text[at:])}$"


def _in_calendar(moments: Cells) -> Mask:
    """Return which ISO moments are on a day that exists."""
    year, month, day = (
        pc.utf8_slice_codeunits(moments, start, stop).cast(pa.int32())
        for start, stop in ((0, 4), (5, 7), (8, _ISO_DAY_CHARACTERS))
    )

    def divides(step: int) -> Mask:
        return pc.equal(pc.multiply(pc.divide(year, step), step), year)

    leap = pc.or_(pc.and_not(divides(4), divides(100)), divides(400))
    most = pa.array(_DAYS, pa.int32()).take(pc.subtract(month, 1))
    most = pc.add(most, pc.and_(leap, pc.equal(month, 2)).cast(pa.int32()))
    return pc.and_(pc.greater(year, 0), pc.less_equal(day, most))
