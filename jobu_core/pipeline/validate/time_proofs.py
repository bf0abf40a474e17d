"""Proofs of dates and times: as text in ISO 8601's plainest form, or as Arrow's own types."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.pipeline import types
from jobu_core.pipeline.validate import limits
from jobu_core.pipeline.validate.kernels import pc
from jobu_core.pipeline.validate.limits import BOUNDS, within
from jobu_core.pipeline.validate.proofs import (
    NotCompiled,
    in_shape,
    kept,
    of_length,
    only_characters,
    read_as,
)

if TYPE_CHECKING:
    from jobu_core.pipeline.validate.proofs import Cells, Field, Proof

_DAY: Final = (
    r"[12][0-9]{3}-(?:02-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30))"
)
"""A day of the years 1000 to 2999, the 29th of February aside."""
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
_ZONE: Final = r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
_DAY_CHARACTERS: Final = "0123456789-"
_MOMENT_CHARACTERS: Final = "0123456789-:T "
_ZONED_CHARACTERS: Final = "0123456789-:T +Z"

_FIRST: Final = dt.datetime(2, 1, 1)  # noqa: DTZ001 - a bound for naive columns
_LAST: Final = dt.datetime(9998, 12, 31)  # noqa: DTZ001 - idem
_EPOCH: Final = "1970-01-01T"


def date_text(field: Field) -> Proof:
    """Return the proof of YYYY-MM-DD; raises NotCompiled."""
    node = field.reads(*BOUNDS, kind=types.DATE.name)
    bounded = within(node, limits.moment(dt.date, pa.date32()))
    grammar = f"^{_DAY}$"

    def prove(cells: Cells) -> Cells:
        quick = pc.and_(of_length(cells, 10), only_characters(cells, _DAY_CHARACTERS))
        return bounded(_in_years(read_as(kept(cells, quick), pa.date32(), grammar)))

    return prove


def datetime_text(field: Field) -> Proof:
    """Return the proof of YYYY-MM-DDThh:mm:ss, with a zone where the column has one."""
    node = field.reads(*BOUNDS, "tz_constraint", "microseconds_precision", kind=_kind(field))
    arrow = field.column.type.arrow
    bounded = within(node, limits.moment(dt.datetime, arrow))
    zoned = field.column.type.name == types.DATETIMETZ.name
    # Of these lengths Arrow takes no other form that has only these characters.
    lengths, characters = ((20, 25), _ZONED_CHARACTERS) if zoned else ((19,), _MOMENT_CHARACTERS)
    grammar = f"^{_DAY}[T ]{_TIME}{_ZONE if zoned else ''}$"

    def prove(cells: Cells) -> Cells:
        quick = pc.and_(of_length(cells, *lengths), only_characters(cells, characters))
        values = read_as(in_shape(cells, quick, grammar), arrow, grammar)
        return bounded(_in_years(values))

    return prove


def time_text(field: Field) -> Proof:
    """Return the proof of hh:mm:ss without a zone; raises NotCompiled."""
    node = field.reads(*BOUNDS, "tz_constraint", "microseconds_precision", kind=types.TIME.name)
    _refuse_zone(node.get("tz_constraint"), zoned=False)
    bounded = within(node, limits.moment(dt.time, pa.time64("us")))
    grammar = f"^{_TIME}$"

    def prove(cells: Cells) -> Cells:
        proven = kept(cells, pc.match_substring_regex(cells, grammar))
        moments = pc.binary_join_element_wise(pa.scalar(_EPOCH), proven, pa.scalar(""))
        return bounded(moments.cast(pa.timestamp("us")).cast(pa.time64("us")))

    return prove


def moments(field: Field, given: pa.DataType) -> Proof:
    """Return the proof of a datetime field whose cells are timestamps already."""
    node = field.reads(*BOUNDS, "tz_constraint", "microseconds_precision", kind=_kind(field))
    arrow: Any = field.column.type.arrow
    zone = getattr(given, "tz", None)
    if (zone is None) != (arrow.tz is None):
        raise NotCompiled("the timestamps and the field do not agree on a time zone")
    if zone not in (None, "UTC", "+00:00"):  # others have hours that come twice
        raise NotCompiled(f"timestamps in {zone}")
    bounded = within(node, limits.moment(dt.datetime, arrow))

    def prove(cells: Cells) -> Cells:
        return bounded(_in_years(cells.cast(arrow)))

    return prove


def days(field: Field) -> Proof:
    """Return the proof of a date field whose cells are dates already."""
    node = field.reads(*BOUNDS, kind=types.DATE.name)
    bounded = within(node, limits.moment(dt.date, pa.date32()))

    def prove(cells: Cells) -> Cells:
        return bounded(_in_years(cells.cast(pa.date32())))

    return prove


def times_of_day(field: Field) -> Proof:
    """Return the proof of a time field whose cells are times already."""
    node = field.reads(*BOUNDS, "tz_constraint", "microseconds_precision", kind=types.TIME.name)
    _refuse_zone(node.get("tz_constraint"), zoned=False)
    bounded = within(node, limits.moment(dt.time, pa.time64("us")))

    def prove(cells: Cells) -> Cells:
        return bounded(cells.cast(pa.time64("us")))

    return prove


def _kind(field: Field) -> str:
    """Return the one type that the field's zone rule lets its column have."""
    zoned = field.column.type.name == types.DATETIMETZ.name
    _refuse_zone(field.node.get("tz_constraint"), zoned=zoned)
    return (types.DATETIMETZ if zoned else types.DATETIME).name


def _refuse_zone(constraint: object, *, zoned: bool) -> None:
    if constraint not in (None, "aware" if zoned else "naive"):
        raise NotCompiled("the column and the field do not agree on a time zone")


def _in_years(values: Cells) -> Cells:
    """Keep the moments that Python has in every time zone."""
    arrow: Any = values.type
    first, last = _FIRST, _LAST
    if pa.types.is_date(arrow):
        bounds = pa.scalar(first.date(), arrow), pa.scalar(last.date(), arrow)
    else:
        zone = dt.UTC if arrow.tz else None
        bounds = (
            pa.scalar(first.replace(tzinfo=zone), arrow),
            pa.scalar(last.replace(tzinfo=zone), arrow),
        )
    low, high = bounds
    return kept(values, pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high)))
