"""The target's columns, and whether a file's columns can go into them.

Everything is compared before the first byte is sent; what differs is told at
once, not one column per attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

from psycopg.rows import class_row

from jobu_core.pipeline.load.binary.pairs import binary_encoder
from jobu_core.pipeline.load.contract import Comparison, agree
from jobu_core.pipeline.load.request import STRICT
from jobu_core.pipeline.load.wire import TargetType, encoder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg
    import pyarrow as pa

    from jobu_core.pipeline.load.binary.cells import EncodeBinary
    from jobu_core.pipeline.load.request import SchemaPolicy
    from jobu_core.pipeline.load.wire import Encode

_COLUMNS: Final[LiteralString] = """
WITH RECURSIVE typed AS (
    SELECT a.attnum, a.atttypid AS type_id, a.atttypmod AS modifier, a.attnotnull AS required
    FROM pg_attribute AS a
    WHERE a.attrelid = %(table)s AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT d.attnum, t.typbasetype, t.typtypmod, d.required OR t.typnotnull
    FROM typed AS d JOIN pg_type AS t ON t.oid = d.type_id
    WHERE t.typtype = 'd'
)
SELECT a.attname AS name,
       format_type(a.atttypid, a.atttypmod) AS shown,
       t.typname AS type_name,
       d.modifier,
       t.typtype = 'e' AS is_enum,
       t.typnamespace = 'pg_catalog'::regnamespace AS is_stock,
       d.required,
       a.atthasdef OR a.attidentity <> '' AS has_default,
       a.attidentity = 'a' AS always_identity,
       a.attgenerated <> '' AS generated
FROM pg_attribute AS a
JOIN typed AS d ON d.attnum = a.attnum
JOIN pg_type AS t ON t.oid = d.type_id
WHERE a.attrelid = %(table)s AND t.typtype <> 'd'
ORDER BY a.attnum
"""


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """One column of the target table."""

    name: str
    shown: str
    """Its type as ``\\d`` prints it."""
    type_name: str
    modifier: int
    is_enum: bool
    is_stock: bool
    required: bool
    """NOT NULL, of the column or of its domain."""
    has_default: bool
    always_identity: bool
    generated: bool

    @property
    def type(self) -> TargetType:
        """The type as the wire sees it."""
        return TargetType(self.type_name, self.modifier, self.is_enum, self.is_stock)


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """A column that will be sent: its name, its type there, how values are written."""

    name: str
    shown: str
    encode: Encode
    binary: EncodeBinary | None
    """The same in COPY's binary format; None: this pair of types is only sent as text."""
    required: bool = False


def read_columns(connection: psycopg.Connection, table: int) -> tuple[TargetColumn, ...]:
    """Return the columns of the table with oid ``table``, in order."""
    with connection.cursor(row_factory=class_row(TargetColumn)) as cursor:
        return tuple(cursor.execute(_COLUMNS, {"table": table}).fetchall())


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
            binary = binary_encoder(field.type, column.type)
            plans.append(ColumnPlan(field.name, column.shown, encode, binary, column.required))
    return Comparison(tuple(plans), agreement, (*differences, *agreement.problems))


def _against(
    field: pa.Field[pa.DataType],
    column: TargetColumn,
    nulls: int,
    encode: Encode | None,
) -> list[str]:
    found = []
    if column.generated:
        found.append(f"{field.name!r} is a generated column and cannot be given")
    if column.always_identity:
        found.append(f"{field.name!r} is GENERATED ALWAYS AS IDENTITY and cannot be given")
    if encode is None:
        found.append(
            f"{field.name!r} is {field.type} in the file and {column.shown} in the table, "
            "which cannot hold it exactly"
        )
    if column.required and nulls:
        found.append(f"{field.name!r} has {nulls} nulls in the file and is NOT NULL in the table")
    return found
