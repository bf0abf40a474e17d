"""Which rows a dataset wants: ``{column: {gt, gte, lt, lte, eq, ne, in, notnull}}``.

All conditions must hold. Null never matches gt, gte, lt, lte and eq; ``ne`` keeps
it; ``in`` matches it only if listed; ``notnull: false`` keeps nothing but null.

The operand decides how a cell of text is compared. A number compares as a
number, exactly ("5", "5.0" and "05" equal 5; 0.1 is one tenth); a string as
text, by code points; true and false by pydantic's spellings. A cell that is no
number equals no number (``eq`` and ``in`` drop it, ``ne`` keeps it), but it is
neither above nor below one: under gt, gte, lt and lte such a row is *refused*, so
that it ends among the rejects and not in silence. A row that another condition
drops is dropped, refused or not. NaN is a number that only ``ne`` matches.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.config.sources import suggest
from jobu_core.errors import InvalidParams
from jobu_core.pipeline.csv_reader import normalised
from jobu_core.pipeline.spelling import Spelling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Predicate = Callable[[Any], bool | None]
    """Cell → matches, or None: the two cannot be compared."""

NOT_COMPARABLE: Final = "not_comparable"
"""Rule of the reject that a refused row becomes."""

_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
OPERATORS: Final = (*_ORDER, "eq", "ne", "in", "notnull")

_DROP, _REFUSE, _KEEP = 0, 1, 2  # the least of a row's verdicts is the row's

_NUMBER: Final = re.compile(
    r"[ \t]*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
    r"|[+-]?(?:inf|infinity)|[+-]?nan)[ \t]*",
    re.IGNORECASE,
)
_TRUE: Final = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE: Final = frozenset({"0", "off", "f", "false", "n", "no"})


@dataclass(frozen=True, slots=True)
class Refused:
    """A row of a batch that a condition can neither keep nor drop."""

    index: int
    column: str
    message: str


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on one batch."""

    keep: pa.BooleanArray
    refused: tuple[Refused, ...]


class Filters:
    """The conditions of one preprocessing, checked when made."""

    def __init__(self, conditions: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse unknown operators and operands that nothing could be compared with."""
        self._conditions = {normalised(column): dict(ops) for column, ops in conditions.items()}
        for column, ops in self._conditions.items():
            for name, operand in ops.items():
                _check_operand(column, name, operand)

    def __bool__(self) -> bool:
        """Whether there is any condition."""
        return bool(self._conditions)

    def unknown(self, columns: Iterable[str]) -> list[str]:
        """Say which columns of conditions are not among ``columns``."""
        known = list(columns)
        return [
            f"no column {column!r} to filter by{suggest(column, known)}"
            for column in self._conditions
            if column not in known
        ]

    def bind(self, schema: pa.Schema, spelling: Spelling | None = None) -> BoundFilters:
        """Fit the operands to the columns' types; raises InvalidParams.

        Cells of text that are compared with a number are read in the file's ``spelling``.
        """
        spelled = spelling or Spelling()
        return BoundFilters(
            {
                column: {
                    name: _predicate(
                        f"filters.{column}.{name}",
                        name,
                        operand,
                        _Cells(schema.field(column).type, spelled),
                    )
                    for name, operand in ops.items()
                }
                for column, ops in self._conditions.items()
            }
        )


class BoundFilters:
    """Conditions that fit the columns they are about."""

    def __init__(self, predicates: Mapping[str, Mapping[str, Predicate]]) -> None:
        """Keep ``{column: {operator: predicate}}``."""
        self._predicates = predicates

    def judge(self, batch: pa.RecordBatch) -> Judged:
        """Return which rows to keep and which to refuse; the rest is dropped."""
        if not self._predicates:
            return Judged(pa.repeat(pa.scalar(True), batch.num_rows), ())
        verdicts = {
            column: _verdicts(batch.column(column), list(predicates.values()))
            for column, predicates in self._predicates.items()
        }
        rows = [min(found) for found in zip(*verdicts.values(), strict=True)]
        refused = [
            self._refusal(index, verdicts) for index, found in enumerate(rows) if found == _REFUSE
        ]
        keep = [found == _KEEP for found in rows]
        return Judged(pa.array(keep, pa.bool_()), tuple(refused))

    def _refusal(self, index: int, verdicts: Mapping[str, list[int]]) -> Refused:
        column = next(name for name, found in verdicts.items() if found[index] == _REFUSE)
        names = ", ".join(name for name in self._predicates[column] if name in _ORDER)
        return Refused(index, column, f"is not a number, which the filter ({names}) needs")


def _verdicts(cells: pa.Array[Any], predicates: list[Predicate]) -> list[int]:
    """Judge each distinct cell once, exactly, in Python."""
    encoded = cells.dictionary_encode()
    of_null = _verdict(None, predicates)
    distinct = [_verdict(value, predicates) for value in encoded.dictionary.to_pylist()]
    return [of_null if at is None else distinct[at] for at in encoded.indices.to_pylist()]


def _verdict(value: object, predicates: list[Predicate]) -> int:
    found = [predicate(value) for predicate in predicates]
    if False in found:
        return _DROP
    return _REFUSE if None in found else _KEEP


def _check_operand(column: str, name: str, operand: object) -> None:
    where = f"filters.{column}.{name}"
    if name not in OPERATORS:
        raise InvalidParams(f"{where}: no such operator{suggest(name, OPERATORS)}")
    if name == "notnull":
        if not isinstance(operand, bool):
            raise InvalidParams(f"{where}: must be true or false")
        return
    if name == "in":
        if not isinstance(operand, list | tuple):
            raise InvalidParams(f"{where}: must be a list")
        for item in operand:
            if item is not None:
                _check_scalar(where, item)
        return
    if operand is None:
        raise InvalidParams(f"{where}: null compares with nothing; use notnull")
    if name in _ORDER and isinstance(operand, bool):
        raise InvalidParams(f"{where}: true and false have no order")
    _check_scalar(where, operand)


def _check_scalar(where: str, operand: object) -> None:
    if not isinstance(operand, bool | int | float | str | dt.date | dt.datetime | Decimal):
        raise InvalidParams(f"{where}: must be a number, a string, true or false")
    if isinstance(operand, float | Decimal) and not Decimal(operand).is_finite():
        raise InvalidParams(f"{where}: must be a finite number")


@dataclass(frozen=True, slots=True)
class _Cells:
    """What the cells of a column are."""

    kind: pa.DataType
    spelling: Spelling


def _predicate(where: str, name: str, operand: Any, kind: _Cells) -> Predicate:  # noqa: ANN401 - JSON's own shapes
    """Return the function that judges a cell of such a column."""
    if name == "notnull":
        return lambda cell: (cell is not None) is operand
    if name == "in":
        return _one_of(
            [_equals(where, item, kind) for item in operand if item is not None],
            with_null=None in operand,
        )
    if name == "eq":
        return _one_of([_equals(where, operand, kind)], with_null=False)
    if name == "ne":
        equal = _equals(where, operand, kind)
        return lambda cell: cell is None or not equal(cell)
    reading, bound = _reading(where, operand, kind)
    return _ordered(_ORDER[name], reading, bound)


def _one_of(equals: list[Callable[[Any], bool]], *, with_null: bool) -> Predicate:
    return lambda cell: with_null if cell is None else any(equal(cell) for equal in equals)


def _ordered(
    compare: Callable[[Any, Any], bool], reading: Callable[[Any], Any], bound: object
) -> Predicate:
    def judge(cell: object) -> bool | None:
        if cell is None:
            return False
        value = reading(cell)
        if value is None:
            return None
        if isinstance(value, Decimal) and value.is_nan():
            return False
        return compare(value, bound)

    return judge


def _equals(where: str, operand: object, kind: _Cells) -> Callable[[Any], bool]:
    reading, bound = _reading(where, operand, kind)
    return lambda cell: reading(cell) == bound


def _reading(where: str, operand: object, cells: _Cells) -> tuple[Callable[[Any], Any], object]:
    """Return how to read a cell and what to compare the result with.

    The reading returns None for a cell that cannot be compared.
    """
    kind = cells.kind
    if pa.types.is_string(kind):
        if isinstance(operand, bool):
            return _truth, operand
        if isinstance(operand, int | float | Decimal):
            spelled = cells.spelling.number
            return (lambda cell: _number(spelled(cell))), _number(operand)
        return _itself, operand.isoformat() if isinstance(operand, dt.date) else operand
    if pa.types.is_boolean(kind) and isinstance(operand, bool):
        return _itself, operand
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if numeric and isinstance(operand, int | float | Decimal) and not isinstance(operand, bool):
        return _number, _number(operand)
    moment = _moment(operand, kind)
    if moment is None:
        raise InvalidParams(f"{where}: does not compare with a column of type {kind}")
    return _itself, moment


def _itself(cell: object) -> object:
    return cell


def _truth(cell: str) -> bool | None:
    spelled = cell.lower()
    return True if spelled in _TRUE else False if spelled in _FALSE else None


def _number(value: object) -> Decimal | None:
    """Return the exact number that ``value`` spells; a float is its shortest spelling."""
    match = _NUMBER.fullmatch(repr(value) if isinstance(value, float) else str(value))
    if match is None:
        return None
    try:
        return Decimal(match[1])
    except InvalidOperation:  # an exponent beyond all bounds
        return None


def _moment(operand: object, kind: pa.DataType) -> dt.date | dt.time | None:
    """Return the date, time or datetime of ``operand`` that fits the column, or None."""
    text = operand.isoformat() if isinstance(operand, dt.date) else operand
    if not isinstance(text, str):
        return None
    try:
        if pa.types.is_date(kind):
            return dt.date.fromisoformat(text)
        if pa.types.is_time(kind):
            return dt.time.fromisoformat(text)
        if isinstance(kind, pa.TimestampType):
            found = dt.datetime.fromisoformat(text)
            return found if (found.tzinfo is None) == (kind.tz is None) else None
    except ValueError:
        return None
    return None
