"""How cells are proven in bulk, and the steps that all proofs share.

A proof takes the cells of one column and returns the values that they become, in
the type of the model's column. A value is null wherever the cell was not proven:
pydantic decides those. A proof may therefore know too little, never too much.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.pipeline.validate.kernels import pc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jobu_core.pipeline.types import Column
    from jobu_core.pipeline.validate.core_schema import Schema
    from jobu_core.pipeline.validate.row_check import Refusal

    # The stubs give each kernel the types it knows, and none of an array of any type.
    Cells = Any
    Mask = Any
    Proof = Callable[[Cells], Cells]

_OFFSET_BYTES: Final = struct.calcsize("<i")
_PIECE_BYTES: Final = 64 << 10
_EVERYWHERE: Final = frozenset({"type", "ref", "metadata", "serialization", "strict"})


class NotCompiled(Exception):  # noqa: N818 - a finding about a field, not an error of the program
    """Why a field is not compiled: what it has that no proof reads."""


@dataclass(frozen=True, slots=True)
class Field:
    """What a proof may know about a field."""

    column: Column
    node: Schema
    """The innermost node: without default, nullable and references."""
    config: Mapping[str, Any]
    lax: bool
    """Whether nothing asks for strict mode."""
    answer: Callable[[object], tuple[Any, ...] | Refusal]
    """What pydantic and the storage make of one cell."""

    def reads(self, *keys: str, kind: str) -> Schema:
        """Return the node; NotCompiled unless it says nothing but ``keys`` of ``kind``."""
        for key, value in self.node.items():
            if key not in keys and key not in _EVERYWHERE and value is not None:
                raise NotCompiled(f"{key} is not compiled for {self.node['type']}")
        if self.column.type.name != kind:
            raise NotCompiled(f"{self.node['type']} is stored as {self.column.type.name}")
        return self.node

    def setting(self, key: str, config_key: str) -> Any:  # noqa: ANN401 - of the schema
        """Return what the node says, else the model's configuration."""
        found = self.node.get(key)
        return self.config.get(config_key) if found is None else found


def everywhere(mask: Mask) -> bool:
    """Whether the mask is true of every cell that is not null."""
    told: object = pc.all(mask, min_count=0).as_py()
    return told is not False


def kept(values: Cells, mask: Mask) -> Cells:
    """Return ``values`` with null where ``mask`` is not true."""
    if everywhere(mask):
        return values
    return pc.if_else(mask, values, pa.scalar(None, values.type))


def all_of(masks: list[Mask]) -> Mask | None:
    """Return where every mask is true; None for no mask."""
    found: Mask | None = None
    for mask in masks:
        found = mask if found is None else pc.and_(found, mask)
    return found


def only_characters(cells: Cells, characters: str) -> Mask:
    """Return which cells hold nothing but these ASCII characters."""
    allowed = characters.encode()
    if not any(piece.translate(None, allowed) for piece in pieces_of(cells)):
        return pc.greater_equal(pc.binary_length(cells), 0)
    return pc.equal(pc.binary_length(pc.ascii_trim(cells, characters)), 0)


def pieces_of(cells: Cells) -> Iterator[bytes]:
    """Yield the bytes of all cells, one after another; what a null covers may be among them.

    They come in pieces that fit a cache: one copy of a whole column is slower.
    """
    _, offsets, data = cells.buffers()
    if data is None or offsets is None or not len(cells):
        return
    start, end = (
        struct.unpack_from("<i", offsets, (cells.offset + at) * _OFFSET_BYTES)[0]
        for at in (0, len(cells))
    )
    for at in range(start, end, _PIECE_BYTES):
        yield data.slice(at, min(_PIECE_BYTES, end - at)).to_pybytes()


def shorter(cells: Cells, longest: int) -> Mask:
    """Return which cells have 1 to ``longest`` bytes."""
    length = pc.binary_length(cells)
    return pc.and_(pc.greater_equal(length, 1), pc.less_equal(length, longest))


def of_length(cells: Cells, *lengths: int) -> Mask:
    """Return which cells have one of these numbers of bytes."""
    found = pc.binary_length(cells)
    mask = pc.equal(found, lengths[0])
    for length in lengths[1:]:
        mask = pc.or_(mask, pc.equal(found, length))
    return mask


def in_shape(cells: Cells, quick: Mask, grammar: str) -> Cells:
    """Keep the cells for which ``quick`` holds, and the others that match ``grammar``."""
    if everywhere(quick):
        return cells
    slow = pc.fill_null(pc.invert(quick), False)
    also = pc.match_substring_regex(cells.filter(slow), grammar)  # it reads what nulls cover, too
    return kept(cells, pc.replace_with_mask(quick, slow, also))


def read_as(cells: Cells, arrow: pa.DataType, grammar: str) -> Cells:
    """Cast text; if a cell in its quick shape is none after all, those of ``grammar`` only."""
    try:
        return cells.cast(arrow)
    except pa.ArrowInvalid:
        proven = kept(cells, pc.match_substring_regex(cells, grammar))
    try:
        return proven.cast(arrow)
    except pa.ArrowInvalid:
        return nothing(len(cells), arrow)


def nothing(rows: int, arrow: pa.DataType) -> Cells:
    """Return as many nulls."""
    kind: Any = arrow
    return pa.nulls(rows, kind)


def replaced(values: Cells, mask: Mask, answers: Cells) -> Cells:
    """Return ``values``, null where ``mask`` is true, with the next of ``answers`` there."""
    if answers.null_count == len(answers):
        return values
    if pa.types.is_duration(values.type):  # Arrow has no kernel for it
        whole = pa.int64()
        return replaced(values.cast(whole), mask, answers.cast(whole)).cast(values.type)
    return pc.replace_with_mask(values, mask, answers)
