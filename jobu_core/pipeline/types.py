"""The one table of column types: model → Arrow → PostgreSQL → MySQL.

``columns_of_model`` reads a pydantic model, ``columns_of_schema`` a Parquet file
that jobu or somebody else wrote, ``type_named`` a declaration in the
configuration. What a value looks like in a column is ``stored_values.py``'s.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pyarrow as pa

from jobu_core.config.sources import suggest
from jobu_core.errors import InvalidParams, SchemaMismatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROW_COLUMN: Final = "__jobu_row"
"""Hidden int64 column: number of the source row; no loader sends it."""

TYPE_KEY: Final = b"jobu.type"
"""Key of an Arrow field's metadata that holds ``ColumnType.name``."""

MAX_DECIMAL_DIGITS: Final = 38
"""What decimal128 holds."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """One row of the table."""

    name: str
    """How ``types:`` in params and Parquet metadata call it."""
    arrow: pa.DataType
    postgres: str
    mysql: str
    """The same on MySQL and MariaDB; key columns of text are shorter there."""
    python: type
    """What a validated value is, None aside."""


@dataclass(frozen=True, slots=True)
class Column:
    """A named, typed column."""

    name: str
    type: ColumnType
    nullable: bool


INT: Final = ColumnType("int", pa.int64(), "bigint", "bigint", int)
FLOAT: Final = ColumnType("float", pa.float64(), "double precision", "double", float)
BOOL: Final = ColumnType("bool", pa.bool_(), "boolean", "tinyint(1)", bool)
STR: Final = ColumnType("str", pa.string(), "text", "longtext", str)
BYTES: Final = ColumnType("bytes", pa.binary(), "bytea", "longblob", bytes)
DATE: Final = ColumnType("date", pa.date32(), "date", "date", dt.date)
TIME: Final = ColumnType("time", pa.time64("us"), "time", "time(6)", dt.time)
DATETIME: Final = ColumnType(
    "datetime", pa.timestamp("us"), "timestamp", "datetime(6)", dt.datetime
)
DATETIMETZ: Final = ColumnType(
    "datetimetz", pa.timestamp("us", tz="UTC"), "timestamptz", "timestamp(6)", dt.datetime
)
TIMEDELTA: Final = ColumnType("timedelta", pa.duration("us"), "interval", "time(6)", dt.timedelta)
UUID_: Final = ColumnType("uuid", pa.string(), "uuid", "char(36)", UUID)
JSON: Final = ColumnType("json", pa.string(), "jsonb", "json", object)

NAMED: Final[Mapping[str, ColumnType]] = {
    entry.name: entry
    for entry in (
        *(INT, FLOAT, BOOL, STR, BYTES, DATE, TIME),
        *(DATETIME, DATETIMETZ, TIMEDELTA, UUID_, JSON),
    )
}
"""Every type but ``decimal(p,s)``."""

_DECIMAL: Final = re.compile(r"decimal\(\s*([0-9]{1,2})\s*,\s*([0-9]{1,2})\s*\)")


def decimal_type(digits: int, places: int) -> ColumnType:
    """Return the type of numbers with ``digits`` in all, ``places`` after the point."""
    if not 1 <= digits <= MAX_DECIMAL_DIGITS or not 0 <= places <= digits:
        raise SchemaMismatch(
            f"decimal({digits},{places}): needs 1 to {MAX_DECIMAL_DIGITS} digits, "
            "and no more places than digits"
        )
    return ColumnType(
        f"decimal({digits},{places})",
        pa.decimal128(digits, places),
        f"numeric({digits},{places})",
        f"decimal({digits},{places})",
        Decimal,
    )


def type_named(name: str) -> ColumnType:
    """Return the type that ``types: {column: name}`` declares; raises InvalidParams."""
    found = NAMED.get(name.strip())
    if found is not None:
        return found
    match = _DECIMAL.fullmatch(name.strip())
    if match is None:
        known = (*NAMED, "decimal(10,2)")
        raise InvalidParams(f"types: {name!r} is no column type{suggest(name, known)}")
    try:
        return decimal_type(int(match[1]), int(match[2]))
    except SchemaMismatch as error:
        raise InvalidParams(f"types: {error}") from None


def arrow_schema(columns: Iterable[Column], *, with_row: bool = True) -> pa.Schema:
    """Return the schema of a Parquet with these columns, ``ROW_COLUMN`` first."""
    fields = [
        pa.field(
            column.name,
            column.type.arrow,
            nullable=column.nullable,
            metadata={TYPE_KEY: column.type.name.encode()},
        )
        for column in columns
    ]
    if with_row:
        fields.insert(0, pa.field(ROW_COLUMN, pa.int64(), nullable=False))
    return pa.schema(fields)


def columns_of_schema(schema: pa.Schema) -> tuple[Column, ...]:
    """Return the columns of a Parquet's schema, ``ROW_COLUMN`` left out.

    Raises SchemaMismatch that names every column whose type no table column has.
    """
    columns, problems = [], []
    for field in schema:
        if field.name == ROW_COLUMN:
            continue
        found = _type_of_field(field)
        if found is None:
            problems.append(f"{field.name}: Arrow type {field.type} has no column type")
        else:
            columns.append(Column(field.name, found, field.nullable))
    if problems:
        raise SchemaMismatch("; ".join(problems))
    return tuple(columns)


def _type_of_field(field: pa.Field[pa.DataType]) -> ColumnType | None:
    written = (field.metadata or {}).get(TYPE_KEY)
    if written is not None:
        try:
            declared = type_named(written.decode())
        except (InvalidParams, UnicodeDecodeError):
            declared = None
        if declared is not None and declared.arrow == field.type:
            return declared
    return _type_of_arrow(field.type)


def _type_of_arrow(arrow: pa.DataType) -> ColumnType | None:
    """Return the column type of somebody else's Arrow type, its own Arrow type kept."""
    test = pa.types
    if test.is_dictionary(arrow):
        return _type_of_arrow(arrow.value_type)
    if test.is_decimal128(arrow) and 0 <= arrow.scale <= arrow.precision:
        return decimal_type(arrow.precision, arrow.scale)
    if test.is_timestamp(arrow):
        return _as(DATETIME if arrow.tz is None else DATETIMETZ, arrow)
    for matches, entry in (
        (test.is_boolean, BOOL),
        (test.is_signed_integer, INT),
        (lambda kind: test.is_unsigned_integer(kind) and kind.bit_width < 64, INT),  # noqa: PLR2004 - uint64 does not fit
        (test.is_floating, FLOAT),
        (test.is_string, STR),
        (test.is_large_string, STR),
        (test.is_string_view, STR),
        (test.is_binary, BYTES),
        (test.is_large_binary, BYTES),
        (test.is_fixed_size_binary, BYTES),
        (test.is_date, DATE),
        (test.is_time, TIME),
        (test.is_duration, TIMEDELTA),
        (test.is_nested, JSON),
    ):
        if matches(arrow):
            return _as(entry, arrow)
    return None


def _as(entry: ColumnType, arrow: pa.DataType) -> ColumnType:
    return ColumnType(entry.name, arrow, entry.postgres, entry.mysql, entry.python)
