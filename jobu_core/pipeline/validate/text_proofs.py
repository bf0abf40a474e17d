"""Proofs of cells that are text: a narrow ASCII grammar for each type, then a cast.

Every grammar is smaller than pydantic's own reading of text, and both give the
same value for what it takes. Whether they do is what the differential tests ask.
"""

from __future__ import annotations

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
    shorter,
)
from jobu_core.pipeline.validate.string_proofs import strings
from jobu_core.pipeline.validate.time_proofs import date_text, datetime_text, time_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jobu_core.pipeline.validate.proofs import Cells, Field, Proof

_INT_DIGITS: Final = 18
_INT: Final = rf"^-?[0-9]{{1,{_INT_DIGITS}}}$"
_NUMBER_CHARACTERS: Final = "0123456789.-"
_FLOAT_BYTES: Final = 40
_DECIMAL_BYTES: Final = 45
_FLOAT: Final = r"^-?[0-9]{1,16}(?:\.[0-9]{1,16})?(?:[eE][+-]?[0-9]{1,2})?$"
_MAX_TABLE: Final = 10_000

_BOOLS: Final = ("0", "1", "t", "f", "y", "n", "on", "off", "yes", "no", "true", "false")


def text_proof(field: Field) -> Proof:
    """Return the proof of a field whose cells are text; raises NotCompiled."""
    make = _TEXT.get(field.node["type"])
    if make is None:
        raise NotCompiled(f"{field.node['type']} is not compiled")
    return make(field)


def _int(field: Field) -> Proof:
    node = field.reads(*BOUNDS, "multiple_of", kind=types.INT.name)
    condition = limits.multiple_of(node)
    bounded = within(node, limits.whole_number, *([condition] if condition else []))

    def prove(cells: Cells) -> Cells:
        quick = pc.and_(pc.ascii_is_decimal(cells), shorter(cells, _INT_DIGITS))
        return bounded(read_as(in_shape(cells, quick, _INT), pa.int64(), _INT))

    return prove


def _float(field: Field) -> Proof:
    # Infinities and NaN are not in the grammar, so allow_inf_nan says nothing of it.
    node = field.reads(*BOUNDS, "allow_inf_nan", kind=types.FLOAT.name)
    bounded = within(node, limits.floating)

    def prove(cells: Cells) -> Cells:
        quick = pc.and_(only_characters(cells, _NUMBER_CHARACTERS), shorter(cells, _FLOAT_BYTES))
        return bounded(read_as(in_shape(cells, quick, _FLOAT), pa.float64(), _FLOAT))

    return prove


def _decimal(field: Field) -> Proof:
    node = field.reads(
        *BOUNDS,
        *("max_digits", "decimal_places", "allow_inf_nan"),
        kind=field.column.type.name,
    )
    arrow, fits = decimal_shape(field)
    bounded = within(node, limits.decimal(arrow))
    whole, places = fits.precision - fits.scale, fits.scale
    after = rf"(?:\.[0-9]{{1,{places}}})?" if places else ""
    grammar = rf"^-?[0-9]{{1,{whole}}}{after}$"

    def prove(cells: Cells) -> Cells:
        quick = pc.and_(only_characters(cells, _NUMBER_CHARACTERS), shorter(cells, _DECIMAL_BYTES))
        read = read_as(kept(cells, quick), fits, grammar)
        return bounded(read if fits == arrow else read.cast(arrow))

    return prove


def decimal_shape(
    field: Field,
) -> tuple[pa.Decimal128Type[Any, Any], pa.Decimal128Type[Any, Any]]:
    """Return the column's type, and the widest within it that meets the constraints."""
    arrow = field.column.type.arrow
    if not isinstance(arrow, pa.Decimal128Type):
        raise NotCompiled(f"decimal is stored as {field.column.type.name}")
    places, digits = field.node.get("decimal_places"), field.node.get("max_digits")
    whole = arrow.precision - arrow.scale
    fraction = arrow.scale if places is None else min(arrow.scale, places)
    if digits is not None:
        whole = min(whole, digits - (fraction if places is None else places))
    if whole < 1:  # then even the 0 of 0.5 is one digit too many
        raise NotCompiled("max_digits leaves no digit before the point")
    return arrow, pa.decimal128(whole + fraction, fraction)


def _uuid(field: Field) -> Proof:
    node = field.reads("version", kind=types.UUID_.name)
    version = node.get("version")
    digit, variant = ("[0-9a-fA-F]",) * 2 if version is None else (str(version), "[89abAB]")
    hexes = "[0-9a-fA-F]"
    grammar = (
        rf"^{hexes}{{8}}-{hexes}{{4}}-{digit}{hexes}{{3}}-{variant}{hexes}{{3}}-{hexes}{{12}}$"
    )

    def prove(cells: Cells) -> Cells:
        right = kept(cells, of_length(cells, 36))
        return pc.ascii_lower(kept(right, pc.match_substring_regex(right, grammar)))

    return prove


def _bytes(field: Field) -> Proof:
    node = field.reads("min_length", "max_length", kind=types.BYTES.name)
    if field.config.get("val_json_bytes") not in (None, "utf8"):
        raise NotCompiled("val_json_bytes is not utf8")
    lengths = byte_lengths(node)

    def prove(cells: Cells) -> Cells:
        return lengths(cells.cast(pa.binary()))

    return prove


def byte_lengths(node: Mapping[str, Any]) -> Proof:
    """Return the step that keeps the values of an allowed number of bytes."""
    least, most = node.get("min_length"), node.get("max_length")

    def keep(values: Cells) -> Cells:
        length = pc.binary_length(values)
        if least is not None:
            values = kept(values, pc.greater_equal(length, least))
        return values if most is None else kept(values, pc.less_equal(length, most))

    return keep


def _bool(field: Field) -> Proof:
    field.reads(kind=types.BOOL.name)
    cases = (str.lower, str.upper, str.title)
    return table(field, dict.fromkeys(case(word) for word in _BOOLS for case in cases))


def _literal(field: Field) -> Proof:
    node = field.reads("expected", kind=field.column.type.name)
    return table(field, (each for each in node["expected"] if isinstance(each, str)))


def _enum(field: Field) -> Proof:
    node = field.reads(*("cls", "members", "sub_type"), kind=field.column.type.name)
    values = [member.value for member in node["members"]]
    return table(field, (str(each) for each in values if isinstance(each, str | int | float)))


def table(field: Field, candidates: Iterable[str]) -> Proof:
    """Return the proof of a field of few values: pydantic's answers, asked beforehand."""
    known: dict[str, Any] = {}
    for cell in candidates:
        found = field.answer(cell)
        if isinstance(found, tuple):
            known[cell] = found[0]
    if not 0 < len(known) <= _MAX_TABLE:
        raise NotCompiled(f"{len(known)} texts that could be listed")
    cells_known = pa.array(list(known), pa.string())
    answers: Cells = pa.array(list(known.values()), field.column.type.arrow)

    def prove(cells: Cells) -> Cells:
        return answers.take(pc.index_in(cells, value_set=cells_known, skip_nulls=True))

    return prove


_TEXT: Final[Mapping[str, Callable[[Field], Proof]]] = {
    "int": _int,
    "float": _float,
    "decimal": _decimal,
    "bool": _bool,
    "str": strings,
    "bytes": _bytes,
    "uuid": _uuid,
    "date": date_text,
    "datetime": datetime_text,
    "time": time_text,
    "literal": _literal,
    "enum": _enum,
}
