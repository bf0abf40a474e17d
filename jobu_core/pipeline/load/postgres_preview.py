"""What a load into PostgreSQL would do: its own checks, read-only, and nothing after them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

from jobu_core.errors import DataError, LoadRefused, SchemaMismatch
from jobu_core.pipeline.load.columns import compare_columns, read_columns
from jobu_core.pipeline.load.formats import BINARY, format_of
from jobu_core.pipeline.load.previewed import ColumnPreview, LoadPreview
from jobu_core.pipeline.load.replace import check_guards, choose_strategy, rows_before
from jobu_core.pipeline.load.request import Mode
from jobu_core.pipeline.load.session import open_session
from jobu_core.pipeline.load.table import find_table, refuse_reserved, require_schema
from jobu_core.pipeline.types import columns_of_schema

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

    from jobu_core.pipeline.load.request import LoadRequest
    from jobu_core.pipeline.load.source import Source
    from jobu_core.pipeline.load.table import Table

_READ_ONLY: Final[LiteralString] = "SET default_transaction_read_only = on"

_NOT_PROVEN: Final = " (not proven in binary)"


def preview_load(request: LoadRequest) -> LoadPreview:
    """Return what a load of the request would do; raises as the dispatcher's says."""
    with (
        request.input.open() as source,
        open_session(request.url, request.target.database, "jobu:try") as connection,
    ):
        connection.execute(_READ_ONLY)
        refuse_reserved(connection, request.target)
        return _preview(connection, request, source)


def _preview(connection: psycopg.Connection, request: LoadRequest, source: Source) -> LoadPreview:
    table = find_table(connection, request.target)
    problems: list[str] = []
    how: str | None = None
    try:
        if request.mode is Mode.REPLACE:
            before = rows_before(connection, request, table)
            check_guards(request, source.known().rows, before)
        how = _way(connection, request, table)
    except (LoadRefused, SchemaMismatch) as error:
        problems.append(str(error))
    if table is None:
        columns = _made(source.schema, problems)
    else:
        columns = _matched(connection, source, table, problems)
    return LoadPreview(
        target=str(request.target),
        exists=table is not None,
        how=None if problems else how,
        columns=columns,
        problems=tuple(problems),
    )


def _way(connection: psycopg.Connection, request: LoadRequest, table: Table | None) -> str:
    if table is None:
        if not request.create:
            raise SchemaMismatch(f"table {request.target} does not exist")
        require_schema(connection, request.target)
        return "create"
    if request.mode is Mode.REPLACE:
        return choose_strategy(connection, request.target, table, request.strategy).value
    return request.mode.value


def _made(schema: pa.Schema, problems: list[str]) -> tuple[ColumnPreview, ...]:
    """Return the columns that the table would be made with."""
    try:
        found = columns_of_schema(schema)
    except SchemaMismatch as error:
        problems.append(str(error))
        return ()
    return tuple(
        ColumnPreview(each.name, str(each.type.arrow), each.type.postgres, BINARY.name)
        for each in found
    )


def _matched(
    connection: psycopg.Connection, source: Source, table: Table, problems: list[str]
) -> tuple[ColumnPreview, ...]:
    """Hold the file's columns against the table's, and its values against the encoders."""
    there = read_columns(connection, table.oid)
    plans, differences = compare_columns(source.schema, source.nulls, there)
    problems += differences
    way = format_of(plans)
    if not differences:
        before = 0
        try:
            for batch in source.batches():
                way.encode(batch, plans, before)
                before += batch.num_rows
        except DataError as error:
            problems.append(str(error))
    types = {each.name: each.shown for each in there}
    sent = {each.name: way.name + ("" if each.binary else _NOT_PROVEN) for each in plans}
    return tuple(
        ColumnPreview(
            field.name,
            str(field.type),
            types.get(field.name),
            sent.get(field.name),
        )
        for field in source.schema
    )
