"""A pydantic model → the columns its validated rows have.

Only annotations are read: what validators do to a value is seen when the value
is stored, and a value that does not fit its column becomes a reject there.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import enum
import types as python_types
import typing
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union
from uuid import UUID

import pydantic
from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType, is_typeddict

from jobu_core.errors import SchemaMismatch
from jobu_core.pipeline import types
from jobu_core.pipeline.types import ROW_COLUMN, Column, ColumnType, decimal_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SCALARS: Final[tuple[tuple[type, ColumnType], ...]] = (
    (bool, types.BOOL),
    (int, types.INT),
    (float, types.FLOAT),
    (str, types.STR),
    (bytes, types.BYTES),
    (dt.datetime, types.DATETIME),
    (dt.date, types.DATE),
    (dt.time, types.TIME),
    (dt.timedelta, types.TIMEDELTA),
    (UUID, types.UUID_),
    (PurePath, types.STR),
    (pydantic.AnyUrl, types.STR),
)
"""Class → type; the first that fits, hence bool before int, datetime before date,
and all of them before documents: a str is a Sequence too."""

_PYDANTIC: Final[Mapping[Any, ColumnType]] = {
    pydantic.AwareDatetime: types.DATETIMETZ,
    pydantic.NaiveDatetime: types.DATETIME,
    pydantic.PastDatetime: types.DATETIME,
    pydantic.FutureDatetime: types.DATETIME,
    pydantic.PastDate: types.DATE,
    pydantic.FutureDate: types.DATE,
    pydantic.EmailStr: types.STR,
    pydantic.Json: types.JSON,
    Any: types.JSON,
    object: types.JSON,
}

_DOCUMENTS: Final = (
    *(BaseModel, dict, list, tuple, set, frozenset),
    *(collections.abc.Mapping, collections.abc.Sequence, collections.abc.Set),
)


class _NoOneTypeError(Exception):
    """A field whose values no one column can hold; says why."""


def columns_of_model(
    model: type[BaseModel],
    decimals: Mapping[str, tuple[int, int]] = python_types.MappingProxyType({}),
) -> tuple[Column, ...]:
    """Return the columns of ``model`` in the order of its fields.

    ``decimals`` gives (digits, places) of Decimal fields that declare none, for
    example those of the target table. Raises SchemaMismatch with every field
    that no column can hold.
    """
    if issubclass(model, RootModel):
        raise SchemaMismatch(f"model {model.__name__}: a RootModel has no columns")
    columns, problems = [], []
    for name, info in model.model_fields.items():
        if name == ROW_COLUMN:
            problems.append(f"{name}: the name is jobu's own")
            continue
        try:
            found, nullable = _resolve(info.annotation, info.metadata, decimals.get(name))
        except (_NoOneTypeError, SchemaMismatch) as error:
            problems.append(f"{name}: {error}")
        else:
            columns.append(Column(name, found, nullable or info.default is None))
    if problems:
        raise SchemaMismatch(f"model {model.__name__}: " + "; ".join(problems))
    return tuple(columns)


def is_nullable(annotation: object) -> bool:
    """Whether None is a value of ``annotation``."""
    bare, _ = _bare(annotation, [])
    if bare in (None, type(None), Any, object):
        return True
    if typing.get_origin(bare) in (Union, python_types.UnionType):
        return any(is_nullable(choice) for choice in typing.get_args(bare))
    return typing.get_origin(bare) is Literal and None in typing.get_args(bare)


def _resolve(
    annotation: object,
    metadata: Iterable[object],
    decimals: tuple[int, int] | None,
) -> tuple[ColumnType, bool]:
    """Return the column type of an annotation and whether it may be null."""
    bare, metadata = _bare(annotation, metadata)
    nullable = is_nullable(bare)
    if typing.get_origin(bare) in (Union, python_types.UnionType):
        choices = [each for each in typing.get_args(bare) if each is not type(None)]
        found = {_resolve(choice, metadata, decimals)[0] for choice in choices}
        if len(found) != 1:
            raise _NoOneTypeError(
                "a union of " + ", ".join(sorted(each.name for each in found) or ["nothing"])
            )
        return found.pop(), nullable
    if typing.get_origin(bare) is Literal:
        return _of_values(typing.get_args(bare)), nullable
    return _of_class(typing.get_origin(bare) or bare, metadata, decimals), nullable


def _bare(annotation: object, metadata: Iterable[object]) -> tuple[Any, list[object]]:
    """Strip Annotated, NewType and type aliases; collect the metadata on the way."""
    collected = list(metadata)
    while True:
        if typing.get_origin(annotation) is Annotated:
            annotation, *found = typing.get_args(annotation)
            for item in found:
                collected.extend(item.metadata if isinstance(item, FieldInfo) else [item])
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        else:
            return annotation, collected


def _of_class(
    kind: Any,  # noqa: ANN401 - any annotation
    metadata: Iterable[object],
    decimals: tuple[int, int] | None,
) -> ColumnType:
    known = _PYDANTIC.get(kind) if isinstance(kind, collections.abc.Hashable) else None
    if known is not None:
        return known
    if not isinstance(kind, type):
        raise _NoOneTypeError(f"{kind} has no column type")
    if issubclass(kind, enum.Enum):
        return _of_values(tuple(kind))
    if issubclass(kind, Decimal):
        return _of_decimal(metadata, decimals)
    for scalar, found in _SCALARS:
        if issubclass(kind, scalar):
            return found
    if issubclass(kind, _DOCUMENTS) or dataclasses.is_dataclass(kind) or is_typeddict(kind):
        return types.JSON
    raise _NoOneTypeError(f"{kind.__name__} has no column type")


def _of_values(values: tuple[object, ...]) -> ColumnType:
    """Return the type of an Enum's or Literal's values, which must agree."""
    plain = [value.value if isinstance(value, enum.Enum) else value for value in values]
    kinds = {type(value) for value in plain if value is not None}
    if len(kinds) != 1:
        names = ", ".join(sorted(kind.__name__ for kind in kinds)) or "nothing"
        raise _NoOneTypeError(f"its values are of several types: {names}")
    return _of_class(kinds.pop(), (), None)


def _of_decimal(metadata: Iterable[object], decimals: tuple[int, int] | None) -> ColumnType:
    digits = places = None
    for item in metadata:
        digits = getattr(item, "max_digits", None) if digits is None else digits
        places = getattr(item, "decimal_places", None) if places is None else places
    if digits is not None and places is not None:
        return decimal_type(digits, places)
    if decimals is not None:
        return decimal_type(*decimals)
    raise _NoOneTypeError(
        "a Decimal needs both max_digits and decimal_places, or a target column numeric(p,s)"
    )
