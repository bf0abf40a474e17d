"""Whole numbers and decimals as PostgreSQL's numeric: digits of base 10,000.

The server drops leading and trailing zero digits when it reads a numeric, so all
values of a column are given the same number of digits and have one width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from jobu_core.errors import DataError
from jobu_core.pipeline.load.binary.cells import Fixed, numbers, validity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobu_core.pipeline.load.binary.cells import Values

_BASE: Final = np.uint64(10_000)
_BASE_SQUARED: Final = np.uint64(10_000**2)
_DECIMALS: Final = 4
"""Decimal digits in one of base 10,000."""
_HEAD: Final = 4
"""Numbers before the digits: how many, weight of the first, sign, decimals shown."""
_NEGATIVE: Final = 0x4000
_INTEGER_DIGITS: Final = 20
_INT64_DIGITS: Final = 18
"""Every number of that many decimal digits fits an int64 …"""
_INT64_PLACES: Final = 16
"""… and its fraction too, when it is filled up to whole digits of base 10,000."""
_LIMB_BITS: Final = np.uint64(32)
_TOO_LONG: Final = "a decimal has more digits than its type says"


def integer_as_numeric(values: Values) -> Fixed:
    """Return integers of any width and sign as numeric."""
    valid = validity(values)
    if pa.types.is_unsigned_integer(values.type):
        amounts = numbers(values.cast(pa.uint64()), np.uint64)
        negative = np.zeros(len(values), np.bool_)
    else:
        signed = numbers(values.cast(pa.int64()), np.int64)
        amounts, negative = np.abs(signed).view(np.uint64), signed < 0
    return Fixed(_small(amounts, negative, _INTEGER_DIGITS, 0), valid)


def decimal_as_numeric(values: Values) -> Fixed:
    """Return decimals of a scale that is not negative; raises DataError for a broken one."""
    kind = values.type
    if isinstance(kind, (pa.Decimal32Type, pa.Decimal64Type)):
        return decimal_as_numeric(values.cast(pa.decimal128(kind.precision, kind.scale)))
    assert isinstance(kind, (pa.Decimal128Type, pa.Decimal256Type))  # noqa: S101 - narrows a type
    valid = validity(values)
    words = numbers(values, np.int64, kind.byte_width // 8)
    if valid is not None:
        words = np.where(valid[:, None], words, 0)
    negative = words[:, -1] < 0
    if kind.precision <= _INT64_DIGITS and kind.scale <= _INT64_PLACES:
        low = np.ascontiguousarray(words[:, 0])
        if (words[:, 1:] != (low >> 63)[:, None]).any():
            raise DataError(_TOO_LONG)
        amounts = np.abs(low).view(np.uint64)
        return Fixed(_small(amounts, negative, kind.precision, kind.scale), valid)
    return Fixed(_large(words, negative, kind.precision, kind.scale), valid)


def _small(
    amounts: NDArray[np.uint64], negative: NDArray[np.bool_], precision: int, scale: int
) -> NDArray[np.int16]:
    """Split amounts at the point, each half into digits."""
    before, after, cells = _blank(negative, precision, scale)
    power = np.uint64(10**scale)
    whole = amounts // power if scale else amounts
    top = _spread(whole, cells[:, _HEAD : _HEAD + before]) if before else whole * _BASE
    if (top >= _BASE).any():
        raise DataError(_TOO_LONG)
    if after:
        rest = (amounts - whole * power) * np.uint64(10 ** (after * _DECIMALS - scale))
        _spread(rest, cells[:, _HEAD + before :])
    return cells


def _large(
    words: NDArray[np.int64], negative: NDArray[np.bool_], precision: int, scale: int
) -> NDArray[np.int16]:
    """Divide amounts of several words, two digits at a time, from the last one on."""
    before, after, cells = _blank(negative, precision, scale)
    limbs = _scaled(_limbs(words, negative), 10 ** (after * _DECIMALS - scale))
    for end in range(_HEAD + before + after, _HEAD, -2):
        rest = np.zeros(len(words), np.uint64)
        for at, limb in enumerate(limbs):
            current = (rest << _LIMB_BITS) | limb
            limbs[at] = current // _BASE_SQUARED
            rest = current - limbs[at] * _BASE_SQUARED
        top = _spread(rest, cells[:, max(_HEAD, end - 2) : end])
        if (top >= _BASE).any():
            raise DataError(_TOO_LONG)
    if any(limb.any() for limb in limbs):
        raise DataError(_TOO_LONG)
    return cells


def _blank(
    negative: NDArray[np.bool_], precision: int, scale: int
) -> tuple[int, int, NDArray[np.int16]]:
    """Return how many digits are before and after the point, and cells with their heads."""
    before = -(-max(0, precision - scale) // _DECIMALS)
    after = -(-scale // _DECIMALS)
    cells = np.empty((len(negative), _HEAD + before + after), np.int16)
    cells[:, 0] = before + after
    cells[:, 1] = before - 1
    cells[:, 2] = np.where(negative, np.int16(_NEGATIVE), np.int16(0))
    cells[:, 3] = scale
    return before, after, cells


def _spread(amounts: NDArray[np.uint64], into: NDArray[np.int16]) -> NDArray[np.uint64]:
    """Write the digits of base 10,000; the first one is also returned, whatever it is."""
    for at in range(into.shape[1] - 1, 0, -1):
        rest = amounts // _BASE
        into[:, at] = amounts - rest * _BASE
        amounts = rest
    into[:, 0] = amounts
    return amounts


def _limbs(words: NDArray[np.int64], negative: NDArray[np.bool_]) -> list[NDArray[np.uint64]]:
    """Return the amounts without sign in parts of 32 bits, the highest first."""
    halves = np.ascontiguousarray(words).view(np.uint32)
    carry = negative.astype(np.uint64)
    found: list[NDArray[np.uint64]] = []
    for at in range(halves.shape[1]):
        limb = halves[:, at].astype(np.uint64)
        limb = np.where(negative, limb ^ np.uint64(0xFFFF_FFFF), limb) + carry
        carry = limb >> _LIMB_BITS
        found.insert(0, limb & np.uint64(0xFFFF_FFFF))
    return found


def _scaled(limbs: list[NDArray[Any]], factor: int) -> list[NDArray[np.uint64]]:
    """Return the amounts times ``factor``, in one part more."""
    carry = np.zeros_like(limbs[0])
    found: list[NDArray[np.uint64]] = []
    for limb in reversed(limbs):
        product = limb * np.uint64(factor) + carry
        carry = product >> _LIMB_BITS
        found.insert(0, product & np.uint64(0xFFFF_FFFF))
    return [carry, *found]
