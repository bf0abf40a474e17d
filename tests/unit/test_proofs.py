"""The steps that all proofs share: every cell is looked at, nulls and slices included."""

from __future__ import annotations

import pyarrow as pa

from jobu_core.pipeline.validate.proofs import in_shape, only_characters, pieces_of

MANY = 30_000
"""Cells of more bytes than are looked at at once."""


def test_every_byte_of_a_column_is_looked_at() -> None:
    """Long columns come in pieces, and a slice has its own bytes only."""
    texts = [f"{number:05}" for number in range(MANY)]
    cells = pa.array(texts)
    assert b"".join(pieces_of(cells)) == "".join(texts).encode()
    assert b"".join(pieces_of(cells.slice(7, 2))) == b"0000700008"
    assert list(pieces_of(pa.array([], pa.string()))) == []


def test_the_last_of_many_cells_may_have_another_character() -> None:
    """A digit too few is found wherever it lies; a null is neither."""
    cells = pa.array(["12345"] * MANY + [None, "1234x"])
    mask = only_characters(cells, "0123456789").to_pylist()
    assert mask == [True] * MANY + [None, False]
    assert all(only_characters(cells.slice(0, MANY), "0123456789").to_pylist())


def test_only_cells_out_of_quick_shape_are_held_against_the_grammar() -> None:
    """Those that match it stay, the others become null; nulls stay null."""
    cells = pa.array(["1", "-2", None, "x", "-y"])
    quick = pa.array([True, False, None, False, False])
    assert in_shape(cells, quick, "^-[0-9]$").to_pylist() == ["1", "-2", None, None, None]
