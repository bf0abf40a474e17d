"""The column ``_jobu_load_id``: which load a row came by.

A table that has it has it filled by every load, asked or not: one load that left it
empty would make all that is said by it untrue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.errors import SchemaMismatch
from jobu_core.pipeline.load.columns import read_columns
from jobu_core.pipeline.load.source import Facts, Source
from jobu_core.pipeline.load.table import find_table

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import psycopg

    from jobu_core.pipeline.load.columns import TargetColumn
    from jobu_core.pipeline.load.request import LoadRequest

LOAD_ID_COLUMN: Final = "_jobu_load_id"
_FIELD: Final = pa.field(LOAD_ID_COLUMN, pa.int64())


class Stamped(Source):
    """A source whose rows carry the id of the load."""

    def __init__(self, inner: Source, load_id: int) -> None:
        """Take the rows of ``inner``; raises SchemaMismatch when they have such a column."""
        if LOAD_ID_COLUMN in inner.schema.names:
            raise SchemaMismatch(
                f"{inner.name}: has a column {LOAD_ID_COLUMN}, which jobu fills itself; leave it "
                "out of the file"
            )
        self._inner = inner
        self._load_id = load_id
        self.name = inner.name
        self.schema = inner.schema.append(_FIELD)
        self.nulls = inner.nulls

    @property
    def facts(self) -> Facts | None:
        """What the rows' own source knows."""
        return self._inner.facts

    def batches(self) -> Generator[pa.RecordBatch]:
        """Yield the rows in order, stamped; raises what their source raises."""
        for batch in self._inner.batches():
            stamps: Any = pa.repeat(pa.scalar(self._load_id, pa.int64()), batch.num_rows)
            yield pa.RecordBatch.from_arrays([*batch.columns, stamps], schema=self.schema)

    def input_sha256(self) -> str:
        """Return the hash of the user's bytes."""
        return self._inner.input_sha256()

    def seal(self) -> None:
        """Finish the rows' own source."""
        self._inner.seal()


def wants_stamp(connection: psycopg.Connection, request: LoadRequest) -> bool:
    """Whether the rows are to carry the load's id: the table has its column, or shall get it.

    Raises SchemaMismatch when the column is asked for and may not be added, or is none
    that can be filled.
    """
    table = find_table(connection, request.target)
    if table is None:
        return request.load_id_column
    if stamped_column(read_columns(connection, table.oid), str(request.target)):
        return True
    if request.load_id_column and request.policy.on_new != "add":
        raise SchemaMismatch(
            f"{request.target}: load_id_column: true, and the table has no column {LOAD_ID_COLUMN} "
            "bigint; add it, or let the load do so with on_new_column: add"
        )
    return request.load_id_column


def stamped_column(there: Sequence[TargetColumn], table: str) -> bool:
    """Whether a table has the column; raises SchemaMismatch when it cannot be filled."""
    found = next((each for each in there if each.name == LOAD_ID_COLUMN), None)
    if found is None:
        return False
    if found.type_name != "int8" or found.generated or found.always_identity:
        raise SchemaMismatch(
            f"{table}: {LOAD_ID_COLUMN} is {found.shown}; jobu can fill a plain bigint only"
        )
    return True
