"""The columns of a MySQL table, and whether a file's columns can go into them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString

import pyarrow as pa

from jobu_core.errors import DataError
from jobu_core.pipeline.load.contract import Comparison, agree
from jobu_core.pipeline.load.mysql.checks import TargetType
from jobu_core.pipeline.load.mysql.wire import encoder, is_bytes
from jobu_core.pipeline.load.request import STRICT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.mysql.checks import Encode, Values
    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.load.request import SchemaPolicy

_COLUMNS: Final[LiteralString] = """
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE,
       COLUMN_DEFAULT, EXTRA, CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH,
       NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, CHARACTER_SET_NAME
FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = %(schema)s AND TABLE_NAME = %(table)s
ORDER BY ORDINAL_POSITION
"""
_JSON_CHECKS: Final[LiteralString] = """
SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS
WHERE CONSTRAINT_SCHEMA = %(schema)s AND TABLE_NAME = %(table)s
"""
_JSON_VALID: Final = re.compile(r"json_valid\(`((?:[^`]|``)+)`\)", re.IGNORECASE)
_MEMBER: Final = re.compile(r"'((?:[^']|'')*)'")


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """One column of the target table."""

    name: str
    shown: str
    """Its type as SHOW CREATE TABLE prints it, with its character set if unusual."""
    type: TargetType
    required: bool
    has_default: bool
    auto_increment: bool
    generated: bool


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """A column that will be sent, and how its values are written."""

    name: str
    shown: str
    encode: Encode
    required: bool
    as_hex: bool
    """Sent as hexadecimal digits, which the server turns into bytes."""


def read_columns(session: Session, table: TableName) -> tuple[TargetColumn, ...]:
    """Return the columns of a table, in order.

    information_schema compares names without regard to case, so names are compared
    here once more.
    """
    key = {"schema": table.schema, "table": table.table}
    holding_json = _columns_of_json(session, table) if session.server.mariadb else frozenset()
    return tuple(
        _column(rest, holding_json)
        for schema, name, *rest in session.rows(_COLUMNS, key)
        if (schema, name) == (table.schema, table.table)
    )


def compare_columns(
    schema: pa.Schema,
    nulls: Mapping[str, int],
    target: Sequence[TargetColumn],
    policy: SchemaPolicy = STRICT,
) -> Comparison[ColumnPlan]:
    """Return what can be sent, what the policy says of the rest, and what forbids the load."""
    by_name = {column.name: column for column in target}
    agreement = agree(schema, target, policy)
    plans: list[ColumnPlan] = []
    differences: list[str] = []
    for field in agreement.common:
        column = by_name[field.name]
        encode = encoder(field.type, column.type)
        differences += _against(field, column, nulls.get(field.name, 0), encode)
        if encode is not None:
            plans.append(
                ColumnPlan(field.name, column.shown, encode, column.required, is_bytes(field.type))
            )
    return Comparison(tuple(plans), agreement, (*differences, *agreement.problems))


def encode_batch(batch: pa.RecordBatch, plans: Sequence[ColumnPlan]) -> pa.RecordBatch:
    """Return the batch as the wire wants it; raises DataError naming the column.

    Nulls are looked for here: in a column that is NOT NULL, LOAD DATA puts 0, ''
    or the current time in their place.
    """
    arrays = []
    for plan in plans:
        values = batch.column(plan.name)
        try:
            arrays.append(plan.encode(_without_null(values) if plan.required else values))
        except DataError as error:
            raise DataError(f"column {plan.name!r}: {error}") from error
    return pa.record_batch(arrays, names=[plan.name for plan in plans])


def _without_null(values: Values) -> Values:
    if values.null_count:
        raise DataError("a null, and the column is NOT NULL")
    return values


def _column(described: Sequence[Any], holding_json: frozenset[str]) -> TargetColumn:
    name, kind, shown, nullable, default, extra, length, octets = described[:8]
    digits, places, fraction, charset = described[8:]
    extras, kind, shown = str(extra).lower(), str(kind).lower(), str(shown)
    unusual = charset is not None and charset != "utf8mb4"
    return TargetColumn(
        name=name,
        shown=f"{shown} character set {charset}" if unusual else shown,
        type=TargetType(
            name=kind,
            unsigned="unsigned" in shown.lower(),
            length=length,
            octets=octets,
            digits=digits,
            places=places,
            fraction=fraction,
            charset=charset,
            members=_members(shown) if kind == "enum" else (),
            holds_json=name in holding_json,
        ),
        required=nullable == "NO",
        has_default="auto_increment" in extras or default not in {None, "NULL"},
        auto_increment="auto_increment" in extras,
        generated="generated" in extras or "persistent" in extras,
    )


def _members(shown: str) -> tuple[str, ...]:
    return tuple(found.replace("''", "'") for found in _MEMBER.findall(shown))


def _columns_of_json(session: Session, table: TableName) -> frozenset[str]:
    """MariaDB's JSON is a longtext with a check; nothing else tells it from text."""
    found = session.rows(_JSON_CHECKS, {"schema": table.schema, "table": table.table})
    return frozenset(
        match[1].replace("``", "`")
        for name, clause in found
        if name == table.table and (match := _JSON_VALID.fullmatch(str(clause).strip()))
    )


def _against(
    field: pa.Field[pa.DataType],
    column: TargetColumn,
    nulls: int,
    encode: Encode | None,
) -> list[str]:
    found = []
    if column.generated:
        found.append(f"{field.name!r} is a generated column and cannot be given")
    if encode is None:
        found.append(
            f"{field.name!r} is {field.type} in the file and {column.shown} in the table, "
            "which cannot hold it exactly"
        )
    if column.required and nulls:
        found.append(f"{field.name!r} has {nulls} nulls in the file and is NOT NULL in the table")
    return found
