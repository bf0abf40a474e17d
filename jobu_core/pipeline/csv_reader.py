"""A CSV file as a stream of record batches of strings, each row numbered.

Every cell is text or null: an unquoted empty cell is null, a quoted one is the
empty string, ``NA`` is text unless ``null_values`` says otherwise, and a quoted
cell is never null. What a cell means is for filters, types and models to say.

Rows are numbered from 1 in ``ROW_COLUMN``. The header is not counted, nor are
empty lines; a quoted value with newlines in it is one row; a row with too many
or too few cells is left out of the batch, reported as ragged, and counted.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from jobu_core.config.sources import suggest
from jobu_core.errors import FileError, InvalidParams, JobuError
from jobu_core.pipeline.input_bytes import InputBytes
from jobu_core.pipeline.types import ROW_COLUMN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import IO

    from jobu_core.config.datasets import CsvOptions

BLOCK_BYTES: Final = 2 << 20
"""Bytes parsed at a time; the longest possible row. Arrow reads 32 blocks ahead, which
a worker pays for in memory."""

PANDAS_NULLS: Final = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""What ``null_values: pandas`` adds to the empty cell."""


@dataclass(frozen=True, slots=True)
class RaggedRow:
    """A row whose number of cells is not the header's."""

    number: int
    expected: int
    actual: int
    text: str


@dataclass(frozen=True, slots=True)
class CsvBatch:
    """Some rows in file order, and the ragged ones that lie before the last of them."""

    rows: pa.RecordBatch
    ragged: tuple[RaggedRow, ...]
    file: int = 0
    """Which of several files they are from; 0 is the first."""


class CsvReader:
    """One pass over one open file; made by ``open_csv``."""

    def __init__(
        self,
        source: InputBytes,
        *,
        name: str,
        options: CsvOptions,
        rename: Mapping[str, str],
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        """Read the header; raises FileError with everything that is wrong with it."""
        self._source = source
        self._name = name
        self._options = options
        self._block_bytes = block_bytes
        self._ragged: deque[RaggedRow] = deque()
        self._last_row = 0
        self._stream = self._open_stream()
        self.columns: tuple[str, ...] = _column_names(self._stream.schema.names, rename, name)
        self.schema = string_schema(self.columns)

    @property
    def rows_read(self) -> int:
        """Data rows so far, ragged ones included."""
        return self._last_row

    @property
    def total_bytes(self) -> int:
        """Size of the file on disk."""
        return self._source.total_bytes

    @property
    def read_bytes(self) -> int:
        """Bytes on disk that were read so far; the parser reads ahead of the rows."""
        return self._source.read_bytes

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes, once ``batches`` is exhausted."""
        return self._source.sha256

    def batches(self) -> Iterator[CsvBatch]:
        """Yield every row once; ends with a check that the file did not change."""
        last_value: str | None = None
        while True:
            try:
                batch = self._stream.read_next_batch()
            except StopIteration:
                break
            except (pa.ArrowInvalid, pa.ArrowCapacityError) as error:
                raise self._explained(error) from None
            if batch.num_rows:
                last_value = batch.column(batch.num_columns - 1)[-1].as_py()
                yield self._numbered(batch)
        self._refuse_open_quote(last_value)
        self._source.finish()
        if self._ragged:
            yield self._trailing()

    def _open_stream(self) -> arrow_csv.CSVStreamingReader:
        options = self._options
        nulls = PANDAS_NULLS if options.null_values == "pandas" else options.null_values
        _check_dialect(options)
        try:
            return arrow_csv.open_csv(
                cast("IO[bytes]", self._source),
                # Row numbers of ragged rows come only without threads.
                read_options=arrow_csv.ReadOptions(use_threads=False, block_size=self._block_bytes),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=options.delimiter,
                    quote_char=options.quote or False,
                    double_quote=bool(options.quote),
                    newlines_in_values=options.newlines_in_values,
                    invalid_row_handler=self._remember_ragged,
                ),
                convert_options=arrow_csv.ConvertOptions(
                    default_column_type=pa.string(),  # type: ignore[call-arg] # newer than the stubs
                    null_values=["", *nulls],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    check_utf8=False,  # InputBytes did, and knows the offset
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._explained(error) from None

    def _remember_ragged(self, row: arrow_csv.InvalidRow) -> Literal["skip"]:
        """Take a row out of the stream; the parser counts the header as row 1."""
        number = (row.number or 0) - 1
        self._ragged.append(RaggedRow(number, row.expected_columns, row.actual_columns, row.text))
        return "skip"

    def _numbered(self, batch: pa.RecordBatch) -> CsvBatch:
        """Give the rows the numbers that the ragged ones leave free."""
        first, last = self._last_row + 1, self._last_row + batch.num_rows
        passed: list[RaggedRow] = []
        while self._ragged and self._ragged[0].number <= last:
            passed.append(self._ragged.popleft())
            last += 1
        numbers: Any = pa.arange(first, last + 1)  # type: ignore[attr-defined] # newer than the stubs
        if passed:
            taken = pa.array([row.number for row in passed], pa.int64())
            numbers = numbers.filter(pc.invert(pc.is_in(numbers, value_set=taken)))
        self._last_row = last
        columns: list[pa.Array[Any]] = [numbers, *batch.columns]
        return CsvBatch(pa.RecordBatch.from_arrays(columns, schema=self.schema), tuple(passed))

    def _trailing(self) -> CsvBatch:
        """Return the ragged rows after the last good one, with a batch of no rows."""
        passed = tuple(self._ragged)
        self._ragged.clear()
        self._last_row += len(passed)
        empty = pa.RecordBatch.from_pylist([], schema=self.schema)
        return CsvBatch(empty, passed)

    def _refuse_open_quote(self, last_value: str | None) -> None:
        """Find a quote that was opened and never closed: it swallowed the file's end.

        The parser takes such a value as complete, with the last newline in it.
        """
        quote = self._options.quote
        if not quote or self._source.last_character == quote:
            return
        ragged_end = self._ragged[-1] if self._ragged else None
        if ragged_end is not None and ragged_end.text.count(quote) % 2:
            last_number = ragged_end.number
        elif ragged_end is None and last_value is not None and last_value.endswith(("\n", "\r")):
            last_number = self._last_row
        else:
            return
        raise FileError(f"{self._name}: row {last_number}: a quote is opened and never closed")

    def _explained(self, error: Exception) -> JobuError:
        """Say what is wrong without Arrow's text, which may quote cells."""
        text = str(error)
        after = f"after row {self._last_row}" if self._last_row else "at the start"
        empty = "Empty CSV" in text  # what the parser says of a header without an end, too
        if empty and not self._source.holds_text:
            return FileError(f"{self._name}: is empty: it has no header row")
        if empty or "straddling" in text or "out of sync" in text:
            return FileError(
                f"{self._name}: {after}: a row longer than {self._block_bytes} bytes, "
                "or a quote that is opened and never closed"
            )
        return FileError(f"{self._name}: {after}: cannot be parsed as CSV")


@contextmanager
def open_csv(
    path: Path,
    *,
    name: str,
    options: CsvOptions,
    rename: Mapping[str, str],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[CsvReader]:
    """Open ``path`` for one pass; ``name`` is its logical path, for messages.

    Raises FileError for a file that cannot be read as declared, InvalidParams for
    options that no file could satisfy.
    """
    with InputBytes(
        path, name=name, encoding=options.encoding, compression=options.compression
    ) as source:
        yield CsvReader(source, name=name, options=options, rename=rename, block_bytes=block_bytes)


def string_schema(columns: Iterable[str]) -> pa.Schema:
    """Return the schema of rows of strings, ``ROW_COLUMN`` first."""
    fields: list[pa.Field[Any]] = [pa.field(ROW_COLUMN, pa.int64(), nullable=False)]
    fields.extend(pa.field(column, pa.string()) for column in columns)
    return pa.schema(fields)


def normalised(name: str) -> str:
    """Return a column name as jobu spells it: trimmed, NFC."""
    return unicodedata.normalize("NFC", name.strip("\ufeff \t\r\n\v\f\u00a0\u3000"))


def _column_names(header: Sequence[str], rename: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the columns' names; an unnamed third column is ``column_3``."""
    found = [normalised(cell) or f"column_{at}" for at, cell in enumerate(header, start=1)]
    wanted = {normalised(old): normalised(new) for old, new in rename.items()}
    problems = [
        f"no column {old!r} to rename{suggest(old, found)}" for old in wanted if old not in found
    ]
    columns = [wanted.get(column, column) for column in found]
    problems += [
        f"column {column!r} appears {times} times"
        for column, times in Counter(columns).items()
        if times > 1
    ]
    if ROW_COLUMN in columns:
        problems.append(f"column {ROW_COLUMN!r} is jobu's own name")
    if problems:
        raise FileError(f"{name}: header: " + "; ".join(problems))
    return tuple(columns)


def _check_dialect(options: CsvOptions) -> None:
    for key, value in (("delimiter", options.delimiter), ("quote", options.quote)):
        if not value and key == "quote":
            continue
        if len(value) != 1 or not value.isascii() or value in "\r\n\0":
            raise InvalidParams(f"csv.{key}: must be one ASCII character, not a newline")
    if options.delimiter == options.quote:
        raise InvalidParams("csv.delimiter and csv.quote are the same character")
