"""A node's bounds as Arrow comparisons: which proven values lie within them."""

from __future__ import annotations

import datetime as dt
import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.pipeline.validate.kernels import pc
from jobu_core.pipeline.validate.proofs import NotCompiled, all_of, kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobu_core.pipeline.validate.core_schema import Schema
    from jobu_core.pipeline.validate.proofs import Cells, Mask, Proof

BOUNDS: Final = ("ge", "gt", "le", "lt")

_COMPARE: Final[dict[str, Callable[[Any, Any], Mask]]] = {
    "ge": pc.greater_equal,
    "gt": pc.greater,
    "le": pc.less_equal,
    "lt": pc.less,
}
_INT64: Final = range(-(2**63), 2**63)
_EXACT_FLOATS: Final = 2**53


def within(
    node: Schema, scalar: Callable[[str, Any], pa.Scalar[Any]], *more: Callable[[Cells], Mask]
) -> Proof:
    """Return the step that keeps the values within the node's bounds.

    ``scalar`` turns the bound of a key into one that compares with the values, or
    raises NotCompiled. ``more`` are further conditions.
    """
    bounds = [
        (_COMPARE[key], scalar(key, node[key])) for key in BOUNDS if node.get(key) is not None
    ]

    def keep(values: Cells) -> Cells:
        masks = [compare(values, bound) for compare, bound in bounds]
        masks += [condition(values) for condition in more]
        mask = all_of(masks)
        return values if mask is None else kept(values, mask)

    return keep


def whole_number(key: str, bound: object) -> pa.Scalar[Any]:
    """Return the bound of an int field."""
    if type(bound) is not int or bound not in _INT64:
        raise NotCompiled(f"{key} is not a 64-bit integer")
    return pa.scalar(bound, pa.int64())


def floating(key: str, bound: object) -> pa.Scalar[Any]:
    """Return the bound of a float field."""
    exact = type(bound) is float or (type(bound) is int and abs(bound) <= _EXACT_FLOATS)
    if not exact or not math.isfinite(float(bound)):  # type: ignore[arg-type] # known to be a number
        raise NotCompiled(f"{key} is not a finite float")
    return pa.scalar(float(bound), pa.float64())  # type: ignore[arg-type] # idem


def decimal(arrow: pa.Decimal128Type[Any, Any]) -> Callable[[str, Any], pa.Scalar[Any]]:
    """Return how bounds of a Decimal field become numbers of its column.

    With S digits after the point, x >= 0.005 says x >= 0.01 for S = 2: a bound
    between two numbers of the column is moved to the next one inside it.
    """
    step = Decimal(1).scaleb(-arrow.scale)

    def scalar(key: str, bound: object) -> pa.Scalar[Any]:
        if type(bound) not in (int, Decimal) or not Decimal(bound).is_finite():  # type: ignore[arg-type] # known
            raise NotCompiled(f"{key} is not an int or a Decimal")
        up = key in {"ge", "lt"}
        try:
            moved = Decimal(bound).quantize(step, ROUND_CEILING if up else ROUND_FLOOR)  # type: ignore[arg-type] # known
            found: pa.Scalar[Any] = pa.scalar(moved, arrow)
        except (ArithmeticError, pa.ArrowInvalid):
            raise NotCompiled(f"{key} lies outside {arrow}") from None
        return found

    return scalar


def moment(kind: type, arrow: pa.DataType) -> Callable[[str, Any], pa.Scalar[Any]]:
    """Return how bounds of a date, time or datetime field become the column's."""

    def scalar(key: str, bound: object) -> pa.Scalar[Any]:
        if type(bound) is not kind:
            raise NotCompiled(f"{key} is not a {kind.__name__}")
        zoned = isinstance(bound, dt.datetime | dt.time) and bound.tzinfo is not None
        if zoned != (getattr(arrow, "tz", None) is not None):
            raise NotCompiled(f"{key} and the column do not agree on a time zone")
        return pa.scalar(bound, arrow)

    return scalar


def multiple_of(node: Schema) -> Callable[[Cells], Mask] | None:
    """Return the condition of an int field's ``multiple_of``."""
    step: Any = node.get("multiple_of")
    if step is None:
        return None
    if type(step) is not int or step not in _INT64 or step <= 0:
        raise NotCompiled("multiple_of is not a positive 64-bit integer")

    def holds(values: Cells) -> Mask:
        whole = pc.multiply(pc.divide(values, step), step)
        return pc.equal(values, whole)

    return holds
