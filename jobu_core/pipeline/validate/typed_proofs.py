"""Proofs of cells that Arrow has typed: what pydantic takes as it is, or turns exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.pipeline import types
from jobu_core.pipeline.validate import limits
from jobu_core.pipeline.validate.kernels import pc
from jobu_core.pipeline.validate.limits import BOUNDS, within
from jobu_core.pipeline.validate.proofs import NotCompiled, kept
from jobu_core.pipeline.validate.string_proofs import strings
from jobu_core.pipeline.validate.text_proofs import (
    byte_lengths,
    decimal_shape,
    text_proof,
)
from jobu_core.pipeline.validate.time_proofs import days, moments, times_of_day

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobu_core.pipeline.validate.proofs import Cells, Field, Mask, Proof

_EXACT: Final = 2**53
"""Up to here every integer is a float and every whole float an integer."""
_LONGEST_MICROSECONDS: Final = 10**18
"""About 30,000 years: well inside the range of timedelta."""


def typed_proof(field: Field, given: pa.DataType) -> Proof:
    """Return the proof of a field whose cells are of the type ``given``; raises NotCompiled."""
    kind = field.node["type"]
    if pa.types.is_string(given):
        if kind == "str":
            return strings(field)
        if not field.lax:
            raise NotCompiled("strict mode takes no text")
        return text_proof(field)
    make = _TYPED.get(kind)
    if make is None:
        raise NotCompiled(f"{kind} is not compiled")
    return make(field, given)


def _int(field: Field, given: pa.DataType) -> Proof:
    node = field.reads(*BOUNDS, "multiple_of", kind=types.INT.name)
    condition = limits.multiple_of(node)
    bounded = within(node, limits.whole_number, *([condition] if condition else []))
    if pa.types.is_integer(given) and given != pa.uint64():
        return lambda cells: bounded(cells.cast(pa.int64()))
    if given in (pa.float32(), pa.float64()) and field.lax:
        return lambda cells: bounded(_whole(cells.cast(pa.float64())).cast(pa.int64()))
    raise NotCompiled(f"{given} in an int field")


def _whole(values: Cells) -> Cells:
    """Keep the floats that are integers, and surely the ones that were meant."""
    small: Mask = pc.less_equal(pc.abs(values), float(_EXACT - 1))
    return kept(values, pc.and_(small, pc.equal(values, pc.trunc(values))))


def _float(field: Field, given: pa.DataType) -> Proof:
    node = field.reads(*BOUNDS, "allow_inf_nan", kind=types.FLOAT.name)
    allowed = field.setting("allow_inf_nan", "allow_inf_nan")
    finite = [pc.is_finite] if allowed is False else []
    bounded = within(node, limits.floating, *finite)
    if given in (pa.float32(), pa.float64()):
        return lambda cells: bounded(cells.cast(pa.float64()))
    if pa.types.is_integer(given) and given != pa.uint64():
        return lambda cells: bounded(_exact(cells.cast(pa.int64())).cast(pa.float64()))
    raise NotCompiled(f"{given} in a float field")


def _exact(values: Cells) -> Cells:
    """Keep the integers that a float holds as they are."""
    low: Mask = pc.greater_equal(values, -_EXACT)
    return kept(values, pc.and_(low, pc.less_equal(values, _EXACT)))


def _bool(field: Field, given: pa.DataType) -> Proof:
    field.reads(kind=types.BOOL.name)
    if not pa.types.is_boolean(given):
        raise NotCompiled(f"{given} in a bool field")
    return lambda cells: cells


def _bytes(field: Field, given: pa.DataType) -> Proof:
    node = field.reads("min_length", "max_length", kind=types.BYTES.name)
    if not pa.types.is_binary(given):
        raise NotCompiled(f"{given} in a bytes field")
    return byte_lengths(node)


def _decimal(field: Field, given: pa.DataType) -> Proof:
    node = field.reads(
        *BOUNDS,
        *("max_digits", "decimal_places", "allow_inf_nan"),
        kind=field.column.type.name,
    )
    arrow, fits = decimal_shape(field)
    if not isinstance(given, pa.Decimal128Type) or not 0 <= given.scale <= fits.scale:
        raise NotCompiled(f"{given} in a Decimal field of {fits}")
    bounded = within(node, limits.decimal(arrow))
    same = given.precision - given.scale <= fits.precision - fits.scale

    def prove(cells: Cells) -> Cells:
        if not same:
            most = pa.scalar(10 ** (fits.precision - fits.scale) - 1, pa.decimal128(38, 0))
            cells = kept(cells, pc.less_equal(pc.abs(cells), most.cast(given)))
        return bounded(cells.cast(arrow))

    return prove


def _timedelta(field: Field, given: pa.DataType) -> Proof:
    field.reads("microseconds_precision", kind=types.TIMEDELTA.name)
    if not pa.types.is_duration(given):
        raise NotCompiled(f"{given} in a timedelta field")

    def prove(cells: Cells) -> Cells:
        spans = cells.cast(pa.duration("us"))
        small: Mask = pc.less_equal(
            pc.abs(spans.cast(pa.int64())), pa.scalar(_LONGEST_MICROSECONDS, pa.int64())
        )
        return kept(spans, small)

    return prove


def _datetime(field: Field, given: pa.DataType) -> Proof:
    if not pa.types.is_timestamp(given):
        raise NotCompiled(f"{given} in a datetime field")
    return moments(field, given)


def _date(field: Field, given: pa.DataType) -> Proof:
    if not pa.types.is_date32(given):
        raise NotCompiled(f"{given} in a date field")
    return days(field)


def _time(field: Field, given: pa.DataType) -> Proof:
    if not pa.types.is_time(given):
        raise NotCompiled(f"{given} in a time field")
    return times_of_day(field)


_TYPED: Final[Mapping[str, Callable[[Field, Any], Proof]]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "bytes": _bytes,
    "decimal": _decimal,
    "timedelta": _timedelta,
    "datetime": _datetime,
    "date": _date,
    "time": _time,
}
