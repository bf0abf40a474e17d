"""How a file spells numbers and moments, and the rewriting of its cells that follows.

Only cells are rewritten that will be read as a number or a moment, and only those
that match a grammar; pydantic judges what comes out. A cell that is none in the
declared spelling, but would be one in pydantic's, is rewritten too, into one that
pydantic refuses: with ``decimal: ","`` a ``1.234`` must not become 1.234, and with
``timestamp_formats`` a ``20249999`` must not become seconds since 1970.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

import pyarrow as pa

from jobu_core.errors import InvalidParams
from jobu_core.pipeline import types
from jobu_core.pipeline.moment_formats import MomentFormat
from jobu_core.pipeline.validate.kernels import pc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobu_core.config.datasets import CsvOptions
    from jobu_core.pipeline.types import ColumnType
    from jobu_core.pipeline.validate.proofs import Cells, Mask

Kind = Literal["number", "moment", "time"]

_KINDS: Final[Mapping[str, Kind]] = {
    types.INT.name: "number",
    types.FLOAT.name: "number",
    types.DATE.name: "moment",
    types.DATETIME.name: "moment",
    types.DATETIMETZ.name: "moment",
    types.TIME.name: "time",
}
_NOT_A_MOMENT: Final = "?"
"""In front of a number it makes text that is no date, time or number."""
_NUMBER: Final = r"^\s*[+-]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:[eE][+-]?[0-9]+)?\s*$"


@dataclass(frozen=True, slots=True)
class Spelling:
    """What ``csv.decimal``, ``csv.thousands`` and ``csv.timestamp_formats`` say."""

    decimal: str = "."
    thousands: str = ""
    timestamp_formats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise InvalidParams for what says nothing."""
        if self.decimal == self.thousands:
            raise InvalidParams("csv.decimal and csv.thousands are the same character")
        for text in self.timestamp_formats:
            MomentFormat(text)

    @classmethod
    def of(cls, options: CsvOptions) -> Self:
        """Return the spelling of a file that is written down like this."""
        return cls(options.decimal, options.thousands, options.timestamp_formats)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what ``as_json`` wrote."""
        found = json.loads(text)
        return cls(**{**found, "timestamp_formats": tuple(found.get("timestamp_formats", ()))})

    def as_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self), sort_keys=True)

    def __bool__(self) -> bool:
        """Whether it differs from pydantic's own."""
        return self != Spelling()

    def kind_of(self, column: ColumnType) -> Kind | None:
        """Return how cells of a column are respelled; None: not at all."""
        number = isinstance(column.arrow, pa.Decimal128Type)
        kind = "number" if number else _KINDS.get(column.name)
        if kind == "number":
            return kind if self.decimal != "." or self.thousands else None
        return kind if kind is not None and self._formats(kind) else None

    def respelled(self, cells: Cells, kind: Kind) -> Cells:
        """Return cells of text as pydantic would spell them."""
        return self._numbers(cells) if kind == "number" else self._moments(cells, kind)

    def number(self, cell: str) -> str:
        """Return one cell as ``respelled`` does."""
        if self.decimal == "." and not self.thousands:
            return cell
        if re.fullmatch(self._number_grammar(), cell):
            return cell.replace(self.thousands, "").replace(self.decimal, ".")
        return cell if self.decimal == "." else cell.replace(".", self.decimal)

    def _formats(self, kind: Kind) -> list[MomentFormat]:
        found = [MomentFormat(text) for text in self.timestamp_formats]
        return [each for each in found if each.has_day == (kind == "moment")]

    def _numbers(self, cells: Cells) -> Cells:
        matches = pc.match_substring_regex(cells, f"^(?:{self._number_grammar()})$")
        right = pc.replace_substring(cells, self.thousands, "") if self.thousands else cells
        if self.decimal == ".":
            return pc.if_else(matches, right, cells)
        right = pc.replace_substring(right, self.decimal, ".")
        return pc.if_else(matches, right, pc.replace_substring(cells, ".", self.decimal))

    def _number_grammar(self) -> str:
        point, group = re.escape(self.decimal), re.escape(self.thousands)
        groups = rf"[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|" if self.thousands else ""
        number = rf"(?:{groups}[0-9]+)(?:{point}[0-9]*)?|{point}[0-9]+"
        return rf"[ \t]*[+-]?(?:{number})(?:[eE][+-]?[0-9]+)?[ \t]*"

    def _moments(self, cells: Cells, kind: Kind) -> Cells:
        found = pa.nulls(len(cells), pa.string())
        for form in self._formats(kind):
            left: Mask = pc.and_(pc.is_valid(cells), pc.is_null(found))
            found = pc.coalesce(found, form.iso(pc.if_else(left, cells, None)))
        numbers = pc.match_substring_regex(cells, _NUMBER)
        marked = pc.binary_join_element_wise(_NOT_A_MOMENT, cells, "")
        return pc.coalesce(found, pc.if_else(numbers, marked, cells))
