"""UUIDs from text, in every spelling that PostgreSQL reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from jobu_core.errors import DataError
from jobu_core.pipeline.load.binary.cells import Fixed, data, offsets, validity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobu_core.pipeline.load.binary.cells import Values

_BYTES: Final = 16
_LETTERS: Final = 36
_NO_DIGIT: Final = 0xFF
_NIL: Final = "00000000-0000-0000-0000-000000000000"
_HYPHENS: Final = np.array([8, 13, 18, 23])
_DIGITS: Final = np.setdiff1d(np.arange(_LETTERS), _HYPHENS)
_SPELLINGS: Final = re.compile(
    r"(?P<open>\{)?(?P<digits>(?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4})(?(open)\})"
)
"""Braces around, hyphens after any group of four digits."""


def _table() -> NDArray[np.uint8]:
    """Return the value of each ASCII letter as a digit."""
    found = np.full(256, _NO_DIGIT, np.uint8)
    for digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
        found[np.frombuffer(digits, np.uint8)] = np.arange(16)
    return found


_VALUES: Final = _table()


def text_as_uuid(texts: Values) -> Fixed:
    """Return 16 bytes for each text; raises DataError for one that is none."""
    valid = validity(texts)
    filled = texts if valid is None else texts.fill_null(_NIL)
    return Fixed(_usual(filled) if _are_usual(filled) else _any(filled), valid)


def _are_usual(texts: Values) -> bool:
    """Whether all are 8-4-4-4-12 hexadecimal digits."""
    if (np.diff(offsets(texts)) != _LETTERS).any():
        return False
    letters = data(texts).reshape(-1, _LETTERS)
    if (letters[:, _HYPHENS] != ord("-")).any():
        return False
    return not bool((_VALUES[letters[:, _DIGITS]] == _NO_DIGIT).any())


def _usual(texts: Values) -> NDArray[np.uint8]:
    digits = _VALUES[data(texts).reshape(-1, _LETTERS)[:, _DIGITS]]
    return (digits[:, 0::2] << np.uint8(4)) | digits[:, 1::2]


def _any(texts: Values) -> NDArray[np.uint8]:
    found = bytearray()
    for text in texts.to_pylist():
        match = _SPELLINGS.fullmatch(str(text))
        if match is None:
            raise DataError("invalid text representation of a uuid")
        found += bytes.fromhex(match["digits"].replace("-", ""))
    return np.frombuffer(found, np.uint8).reshape(-1, _BYTES)
