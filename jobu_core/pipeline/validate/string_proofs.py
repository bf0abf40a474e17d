"""Proofs of str fields: whitespace, length, pattern and case, as pydantic-core applies them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.pipeline import types
from jobu_core.pipeline.validate.kernels import pc
from jobu_core.pipeline.validate.patterns import ascii_pattern
from jobu_core.pipeline.validate.proofs import NotCompiled, everywhere, kept, pieces_of

if TYPE_CHECKING:
    from jobu_core.pipeline.validate.proofs import Cells, Field, Mask, Proof

_WHITESPACE: Final = " \t\n\v\f\r"
"""All of ASCII that Rust's trim takes away."""

_NO_SPACE_AT_ENDS: Final = (
    r"(?s)^(?:[!-~\x{AC00}-\x{D7A3}](?:.*[!-~\x{AC00}-\x{D7A3}])?)?$"  # printable ASCII, Hangul
)
_MAX_CHARACTER_BYTES: Final = 4


def strings(field: Field) -> Proof:
    """Return the proof of a str field whose cells are text; raises NotCompiled."""
    field.reads(
        *("min_length", "max_length", "pattern", "strip_whitespace", "to_lower", "to_upper"),
        *("regex_engine", "coerce_numbers_to_str"),
        kind=types.STR.name,
    )
    steps = [*_trimmed(field), *_sized(field), *_patterned(field), _without_nul, *_cased(field)]

    def prove(cells: Cells) -> Cells:
        for step in steps:
            cells = step(cells)
        return cells

    return prove


def _trimmed(field: Field) -> list[Proof]:
    if not field.setting("strip_whitespace", "str_strip_whitespace"):
        return []

    def trim(cells: Cells) -> Cells:
        values = pc.ascii_trim(cells, _WHITESPACE)
        ascii_only = pc.string_is_ascii(values)
        if everywhere(ascii_only):
            return values
        others = pc.if_else(ascii_only, pa.scalar(None, values.type), values)
        bare = pc.fill_null(pc.match_substring_regex(others, _NO_SPACE_AT_ENDS), False)
        return kept(values, pc.or_(ascii_only, bare))

    return [trim]


def _sized(field: Field) -> list[Proof]:
    least = field.setting("min_length", "str_min_length") or 0
    most = field.setting("max_length", "str_max_length")
    if not least and most is None:
        return []

    def size(values: Cells) -> Cells:
        length = pc.binary_length(values)
        if _surely_within(length, least, most):
            return values
        if not everywhere(pc.string_is_ascii(values)):
            length = pc.utf8_length(values)
        values = kept(values, pc.greater_equal(length, least))
        return values if most is None else kept(values, pc.less_equal(length, most))

    return [size]


def _surely_within(byte_length: Cells, least: int, most: int | None) -> bool:
    """Whether the bytes alone say that every cell has a right number of characters."""
    found: Any = pc.min_max(byte_length).as_py()
    if found["min"] is None:
        return True
    enough = least == 0 or found["min"] > (least - 1) * _MAX_CHARACTER_BYTES
    return enough and (most is None or found["max"] <= most)


def _patterned(field: Field) -> list[Proof]:
    pattern = field.node.get("pattern")
    if pattern is None:
        return []
    if field.setting("regex_engine", "regex_engine") not in (None, "rust-regex"):
        raise NotCompiled("the pattern is for Python's re")
    translated = ascii_pattern(pattern)

    def match(values: Cells) -> Cells:
        return kept(values, pc.match_substring_regex(values, translated))

    return [match]


def _cased(field: Field) -> list[Proof]:
    lower = field.setting("to_lower", "str_to_lower")
    upper = field.setting("to_upper", "str_to_upper")
    if lower and upper:
        raise NotCompiled("both to_lower and to_upper")
    if not lower and not upper:
        return []
    change = pc.ascii_lower if lower else pc.ascii_upper

    def case(values: Cells) -> Cells:
        return change(kept(values, pc.string_is_ascii(values)))

    return [case]


def _without_nul(values: Cells) -> Cells:
    """Keep what a text column can hold; one look at all bytes tells that there is no NUL."""
    if not any(b"\0" in piece for piece in pieces_of(values)):
        return values
    mask: Mask = pc.invert(pc.match_substring(values, "\0"))
    return kept(values, mask)
