"""Rows on their way: one LOAD DATA LOCAL, or INSERTs of many rows where that is off."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, LiteralString

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from jobu_core.crash_points import reach
from jobu_core.errors import DataError, LoadRefused
from jobu_core.pipeline.load.mysql.columns import encode_batch
from jobu_core.pipeline.load.mysql.failures import place
from jobu_core.pipeline.load.mysql.statements import Sql, composed, joined, quoted
from jobu_core.pipeline.load.mysql.statements import table as table_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.mysql.columns import ColumnPlan
    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.load.source import Source

_CHUNK_BYTES: Final = 256 * 1024
"""One packet of LOAD DATA, unless the server takes less."""
_INSERT_BYTES: Final = 1024 * 1024
"""One INSERT, unless the server takes less."""
_PACKET_OVERHEAD: Final = 1024
_LOAD: Final[LiteralString] = r"""
LOAD DATA LOCAL INFILE {file} {replacing} INTO TABLE {table} CHARACTER SET utf8mb4
FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' ESCAPED BY ''
LINES TERMINATED BY '\n' ({columns}) {assigned}
"""
_CSV: Final = pa_csv.WriteOptions(  # type: ignore[call-arg]  # the stubs know fewer options
    include_header=False, quoting_style="needed", null_string="NULL", eol="\n"
)
"""Texts are quoted always, so that an unquoted NULL is a null and nothing else."""
_BACKSLASH: Final = pc.ReplaceSubstringOptions("\\", "\\\\")
_QUOTE: Final = pc.ReplaceSubstringOptions("'", "''")


class OnDuplicate(StrEnum):
    """What a row does that meets another one with the same keys."""

    FAIL = "fail"
    REPLACE = "replace"


def send_rows(
    session: Session,
    target: TableName,
    source: Source,
    plans: Sequence[ColumnPlan],
    on_duplicate: OnDuplicate = OnDuplicate.FAIL,
) -> int:
    """Send every row of the source and return how many landed, replaced ones twice.

    Raises LoadRefused when the source gave another number of rows than it says it
    has, DataError when the server refuses or changes a value.
    """
    counted = _Counted(source)
    if session.server.local_infile:
        landed = _load(session, target, counted, plans, on_duplicate)
    else:
        landed = _insert(session, target, counted, plans, on_duplicate)
    reach("mysql_rows.ended")
    expected = source.known().rows
    if counted.rows != expected:
        raise LoadRefused(
            f"{source.name}: has {expected} rows by its own count, {counted.rows} were read"
        )
    return landed


class _Counted:
    """The batches of a source, and how many rows they had so far."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.rows = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._source.batches():
            self.rows += batch.num_rows
            yield batch


def _load(
    session: Session,
    target: TableName,
    batches: _Counted,
    plans: Sequence[ColumnPlan],
    on_duplicate: OnDuplicate,
) -> int:
    """Stream CSV into LOAD DATA LOCAL.

    With LOCAL the server turns errors into warnings, skips rows or stores something
    else: any warning is an error here. Their list is capped, so their count decides.
    """
    columns, assigned = [], []
    for at, plan in enumerate(plans):
        variable = Sql(f"@v{at}")
        columns.append(variable if plan.as_hex else quoted(plan.name))
        if plan.as_hex:
            assigned.append(
                composed("{column} = unhex({hex})", column=quoted(plan.name), hex=variable)
            )
    landed = session.streamed(
        _LOAD,
        _csv(batches, plans, min(_CHUNK_BYTES, session.server.max_packet // 2)),
        replacing=Sql("REPLACE" if on_duplicate is OnDuplicate.REPLACE else ""),
        table=table_name(target),
        columns=joined(columns),
        assigned=composed("SET {all}", all=joined(assigned)) if assigned else Sql(""),
    )
    warnings, *_ = session.one("SELECT @@warning_count")
    if warnings:
        raise DataError(f"database {session.database!r}: {_warning(session, int(warnings))}")
    return landed


def _warning(session: Session, count: int) -> str:
    found: list[tuple[Any, ...]] = session.rows("SHOW WARNINGS LIMIT 1")
    first = place(int(found[0][1]), str(found[0][2])) if found else "it does not say which"
    return f"{count} values would not be stored as they are; the first: {first}"


def _csv(batches: _Counted, plans: Sequence[ColumnPlan], chunk_bytes: int) -> Iterator[memoryview]:
    for batch in batches:
        sink = pa.BufferOutputStream()
        pa_csv.write_csv(encode_batch(batch, plans), sink, _CSV)
        encoded = memoryview(sink.getvalue())
        for start in range(0, len(encoded), chunk_bytes):
            yield encoded[start : start + chunk_bytes]
            reach("mysql_rows.chunk_sent")


def _insert(
    session: Session,
    target: TableName,
    batches: _Counted,
    plans: Sequence[ColumnPlan],
    on_duplicate: OnDuplicate,
) -> int:
    """Send INSERTs of as many rows as fit a packet; strict mode makes bad values errors."""
    head = composed(
        "{verb} INTO {table} ({columns}) VALUES ",
        verb=Sql("REPLACE" if on_duplicate is OnDuplicate.REPLACE else "INSERT"),
        table=table_name(target),
        columns=joined(quoted(plan.name) for plan in plans),
    ).text.encode()
    most = min(_INSERT_BYTES, session.server.max_packet) - len(head) - _PACKET_OVERHEAD
    landed = 0
    for batch in batches:
        for values in _statements(_tuples(encode_batch(batch, plans), plans), most):
            landed += session.raw(head + values)
            reach("mysql_rows.insert_sent")
            (warnings,) = session.one("SELECT @@warning_count")
            if warnings:
                raise DataError(
                    f"database {session.database!r}: {_warning(session, int(warnings))}"
                )
    return landed


def _tuples(batch: pa.RecordBatch, plans: Sequence[ColumnPlan]) -> Any:  # noqa: ANN401 - an array
    """Return each row as ``('…',NULL,…),``; a number in quotes is read exactly as in a file."""
    pieces: list[Any] = []
    for at, plan in enumerate(plans):
        texts: Any = batch.column(at).cast(pa.large_string())
        for options in (_BACKSLASH, _QUOTE):
            texts = pc.call_function("replace_substring", [texts], options)
        opened, closed = ("X'", "'") if plan.as_hex else ("'", "'")
        whole = _glued([opened, texts, closed])
        pieces += [
            "(" if at == 0 else ",",
            pc.call_function("coalesce", [whole, pa.scalar("NULL", pa.large_string())]),
        ]
    return _glued([*pieces, "),"])


def _glued(pieces: Sequence[Any]) -> Any:  # noqa: ANN401 - an array
    """Join arrays and constants row by row; null where one is null."""
    columns = [
        pa.scalar(piece, pa.large_string()) if isinstance(piece, str) else piece
        for piece in (*pieces, "")  # the last one stands between the others
    ]
    return pc.call_function(
        "binary_join_element_wise", columns, pc.JoinOptions(null_handling="emit_null")
    )


def _statements(tuples: Any, most: int) -> Iterator[bytes]:  # noqa: ANN401 - an array
    """Yield the tuples of a batch in portions of at most ``most`` bytes."""
    portion: list[bytes] = []
    size = 0
    for row in tuples.cast(pa.large_binary()).to_pylist():
        if len(row) > most:
            raise DataError("a row is longer than the server's max_allowed_packet")
        if size + len(row) > most:
            yield b"".join(portion)[:-1]
            portion, size = [], 0
        portion.append(row)
        size += len(row)
    if portion:
        yield b"".join(portion)[:-1]
