"""What a load into MySQL would do: its own checks, and nothing after them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

from jobu_core.errors import DataError, LoadRefused, SchemaMismatch
from jobu_core.pipeline.load.mysql.columns import compare_columns, encode_batch, read_columns
from jobu_core.pipeline.load.mysql.guards import check_guards, refuse_truncate, rows_before
from jobu_core.pipeline.load.mysql.session import open_session
from jobu_core.pipeline.load.mysql.swap import against_swap
from jobu_core.pipeline.load.mysql.tables import find_table, refuse_reserved, require_schema
from jobu_core.pipeline.load.mysql.upsert import check_keys, insist_on_keys
from jobu_core.pipeline.load.previewed import ColumnPreview, LoadPreview
from jobu_core.pipeline.load.request import Mode, Strategy
from jobu_core.pipeline.types import columns_of_schema

if TYPE_CHECKING:
    import pyarrow as pa

    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.load.request import LoadRequest
    from jobu_core.pipeline.load.source import Source

_READ_ONLY: Final[LiteralString] = "SET SESSION TRANSACTION READ ONLY"


def preview_load(request: LoadRequest) -> LoadPreview:
    """Return what a load of the request would do; raises as the dispatcher's says."""
    with (
        request.input.open() as source,
        open_session(request.url, request.target.database) as session,
    ):
        session.run(_READ_ONLY)
        refuse_reserved(session, request.target)
        return _preview(session, request, source)


def _preview(session: Session, request: LoadRequest, source: Source) -> LoadPreview:
    there = find_table(session, request.target)
    problems: list[str] = []
    how: str | None = None
    try:
        check_guards(request, source.known().rows, rows_before(session, request, there=there))
        how = _way(session, request, there=there)
    except (LoadRefused, SchemaMismatch) as error:
        problems.append(str(error))
    wire = "LOAD DATA" if session.server.local_infile else "INSERT"
    if there:
        columns = _matched(session, request, source, wire, problems)
    else:
        columns = _made(source.schema, wire, problems)
    return LoadPreview(
        target=str(request.target),
        exists=there,
        how=None if problems else how,
        columns=columns,
        problems=tuple(problems),
    )


def _way(session: Session, request: LoadRequest, *, there: bool) -> str:
    refuse_truncate(request)
    if request.mode is Mode.UPSERT:
        insist_on_keys(request.keys, request.target)
    if not there:
        if not request.create:
            raise SchemaMismatch(f"table {request.target} does not exist")
        require_schema(session, request.target)
        return "create"
    if request.mode is Mode.UPSERT:
        check_keys(session, request.target, request.keys)
    if request.mode is not Mode.REPLACE:
        return request.mode.value
    if request.strategy is Strategy.DELETE:
        return Strategy.DELETE.value
    reasons = against_swap(session, request.target)
    if reasons and request.strategy is Strategy.SWAP:
        raise LoadRefused(f"{request.target} cannot be swapped: {'; '.join(reasons)}")
    return Strategy.DELETE.value if reasons else Strategy.SWAP.value


def _made(schema: pa.Schema, wire: str, problems: list[str]) -> tuple[ColumnPreview, ...]:
    """Return the columns that the table would be made with."""
    try:
        found = columns_of_schema(schema)
    except SchemaMismatch as error:
        problems.append(str(error))
        return ()
    return tuple(
        ColumnPreview(each.name, str(each.type.arrow), each.type.mysql, wire) for each in found
    )


def _matched(
    session: Session, request: LoadRequest, source: Source, wire: str, problems: list[str]
) -> tuple[ColumnPreview, ...]:
    """Hold the file's columns against the table's, and its values against the encoders."""
    there = read_columns(session, request.target)
    plans, differences = compare_columns(source.schema, source.nulls, there)
    problems += differences
    if not differences:
        try:
            for batch in source.batches():
                encode_batch(batch, plans)
        except DataError as error:
            problems.append(str(error))
    types = {each.name: each.shown for each in there}
    sent = {each.name for each in plans}
    return tuple(
        ColumnPreview(
            field.name,
            str(field.type),
            types.get(field.name),
            wire if field.name in sent else None,
        )
        for field in source.schema
    )
