"""CSV to table in one pass: preprocessed, validated, written as Parquet and loaded.

::

    stream = FusedInput(plan)
    load_parquet(LoadRequest(input=stream, …))
    stream.reports

Each batch of the user's rows goes the way that three stages would send it, one after
another: the rows it loses, the values it gets and the bytes of the Parquet are theirs.
What can be known only at the end (counts, hash, limits) is settled after the last
row and before the database commits: the rejects are published, then the Parquet.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobu_core.crash_points import reach
from jobu_core.pipeline.load.source import Facts, ParquetInput, Source
from jobu_core.pipeline.parquet_writer import Provenance, file_sha256, write_parquet
from jobu_core.pipeline.preprocess import PreprocessReport, refuse_overwrite
from jobu_core.pipeline.processing import open_processing
from jobu_core.pipeline.rejects import reject_log
from jobu_core.pipeline.sources import sha256_of_files
from jobu_core.pipeline.types import ROW_COLUMN, arrow_schema
from jobu_core.pipeline.validate.batch_check import batch_check
from jobu_core.pipeline.validate.readable import python_type, readable
from jobu_core.pipeline.validate.report import ValidationReport
from jobu_core.pipeline.validate.rows import hold_batch
from jobu_core.pipeline.validate.source import RowBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from pydantic import BaseModel

    from jobu_core.pipeline.parquet_writer import ParquetOutput, Reader
    from jobu_core.pipeline.processing import Processing, Wishes
    from jobu_core.pipeline.rejects import RejectLog
    from jobu_core.pipeline.sources import Input
    from jobu_core.pipeline.validate.batch_check import BatchCheck
    from jobu_core.pipeline.validate.report import ValidationOptions


@dataclass(frozen=True, slots=True)
class Places:
    """Where the outputs of one stream lie."""

    valid: Path
    """The Parquet of the rows that were loaded."""
    unprocessed: Path
    """Rejects of the preprocessing."""
    invalid: Path
    """Rejects of the validation."""


@dataclass(frozen=True, slots=True)
class FusedPlan:
    """What becomes of an input."""

    source: Input
    wishes: Wishes
    model: type[BaseModel]
    options: ValidationOptions
    """Its limits hold for the rows of both stages, each on its own."""
    draft: Places
    """Where the outputs are written."""
    kept: Callable[[str], Places]
    """Input's hash → where they lie in the end; the same place is written directly."""
    read_by: Reader = "anyone"
    published: Callable[[Places], None] = lambda _kept: None
    """Called with where they lie in the end, before the load commits."""


@dataclass(frozen=True, slots=True)
class FusedReports:
    """What the stages of a stream found, once it was sealed."""

    preprocess: PreprocessReport
    validate: ValidationReport


class FusedInput:
    """A ``LoadInput`` that makes its rows while they are loaded."""

    def __init__(self, plan: FusedPlan) -> None:
        """Open nothing yet."""
        self.plan = plan
        self.reports: FusedReports | None = None
        """None unless the rows were read and sealed."""
        self._sha256: str | None = None

    @property
    def places(self) -> Places:
        """Where the outputs lie in the end; reads the input if nobody did yet."""
        return self.plan.kept(self.input_sha256())

    def input_sha256(self) -> str:
        """Return the hash of the user's bytes."""
        if self._sha256 is None:
            paths = self.plan.source.paths
            self._sha256 = sha256_of_files(file_sha256(each) for each in paths)
        return self._sha256

    def settle(self, reports: FusedReports) -> None:
        """Take what the stream found at its end."""
        self.reports = reports
        self._sha256 = reports.validate.sha256

    @contextmanager
    def open(self) -> Iterator[Source]:
        """Open the input and the outputs for one load.

        Raises InvalidParams, FileError, SchemaMismatch or ConfigError for what is wrong
        before any row. If the load fails, no output is there that was not before, but
        RowsRejected leaves the rejects at the draft's places.
        """
        plan = self.plan
        refuse_overwrite(
            plan.source.paths, plan.draft.valid, plan.draft.unprocessed, plan.draft.invalid
        )
        with open_processing(plan.source.files, plan.wishes, name=plan.source.name) as rows:
            rows.start()
            check = batch_check(
                plan.model,
                plan.options,
                strings=rows.values == "strings",
                types={each.name: python_type(each.type.arrow) for each in rows.columns},
                source_name=plan.source.name,
                spelling=rows.spelling,
            )
            with ExitStack() as outputs:
                stream = FusedRows(self, rows, check, outputs)
                yield stream
                stream.insist_on_seal()


@dataclass(frozen=True, slots=True)
class _Writing:
    """The open outputs of one pass."""

    valid: ParquetOutput
    invalid: RejectLog
    unprocessed: RejectLog


class FusedRows(Source):
    """An open stream; made by ``FusedInput.open``."""

    stage = "fused"

    def __init__(
        self, asked: FusedInput, rows: Processing, check: BatchCheck, outputs: ExitStack
    ) -> None:
        """Write nothing yet; what is written will end with ``outputs``."""
        self.name = asked.plan.source.name
        self._whole = arrow_schema(check.columns)
        self.schema = pa.schema([field for field in self._whole if field.name != ROW_COLUMN])
        self.nulls = {}
        self.total_bytes = rows.source.total_bytes
        self._asked = asked
        self._rows = rows
        self._check = check
        self._outputs = outputs
        self._facts: Facts | None = None
        self._reports: FusedReports | None = None
        self._writing: _Writing | None = None

    @property
    def read_bytes(self) -> int | None:
        """Bytes of the user's files that were read, ahead of the rows."""
        return self._rows.source.read_bytes

    @property
    def facts(self) -> Facts | None:
        """The counts and the hash; None before the last row."""
        return self._facts

    def batches(self) -> Generator[pa.RecordBatch]:
        """Yield the valid rows; of a second pass, from the Parquet of the first.

        Raises RowsRejected after the last row when more were rejected than may be.
        """
        if self._facts is not None:
            yield from self._again()
            return
        if self._writing is not None:
            msg = f"{self.name}: an unfinished pass cannot be repeated"
            raise RuntimeError(msg)
        self._writing = writing = self._begin()
        # Closed with the outputs at the latest: it reads ahead in a thread.
        batches = self._outputs.enter_context(closing(self._rows.batches()))
        for batch in batches:
            for each in batch.turned_away:
                writing.unprocessed.add(each.number, each.problems, each.row)
            if batch.rows.num_rows:
                valid = self._held(batch.rows, writing)
                writing.valid.write(valid)
                yield valid.select(self.schema.names)
        self._end(writing)

    def input_sha256(self) -> str:
        """Return the hash of the user's bytes; reads them if no pass did yet."""
        return self._asked.input_sha256() if self._facts is None else self._facts.sha256

    def seal(self) -> None:
        """Publish the rejects, then the Parquet."""
        if self._asked.reports is not None or self._reports is None:
            return
        self._outputs.close()
        reach("fused.outputs_written")
        draft, kept = self._asked.plan.draft, self._asked.plan.kept(self.known().sha256)
        for written, final in (
            (draft.unprocessed, kept.unprocessed),
            (draft.invalid, kept.invalid),
            (draft.valid, kept.valid),
        ):
            _move(written, final)
            reach("fused.output_moved")
        self._asked.plan.published(kept)
        self._asked.settle(_placed(self._reports, kept))

    def insist_on_seal(self) -> None:
        """Raise when rows were read and the load is over without ``seal``: nothing is published."""
        if self._writing is not None and self._asked.reports is None:
            msg = f"{self.name}: rows were loaded and not sealed"
            raise RuntimeError(msg)

    def _begin(self) -> _Writing:
        """Open the outputs; the last to be opened is published first."""
        plan = self._asked.plan
        valid = self._outputs.enter_context(
            write_parquet(plan.draft.valid, self._whole, plan.read_by)
        )
        invalid = self._log(plan.draft.invalid)
        return _Writing(valid, invalid, unprocessed=self._log(plan.draft.unprocessed))

    def _log(self, path: Path) -> RejectLog:
        plan = self._asked.plan
        log = self._outputs.enter_context(
            reject_log(path, source_name=self.name, show_values=plan.options.show_values)
        )
        log.places = self._rows.source.places
        return log

    def _held(self, rows: pa.RecordBatch, writing: _Writing) -> pa.RecordBatch:
        """Return the valid rows of a batch, their numbers first; log the others."""
        numbers: Any = rows.column(ROW_COLUMN)
        cells = rows.drop_columns([ROW_COLUMN])
        if self._rows.values == "typed":
            cells = readable(cells, self.name, trusted=True)
        return hold_batch(RowBatch(numbers, cells), self._check, writing.invalid)

    def _end(self, writing: _Writing) -> None:
        """Count, and hold the rejects against the limits; raises RowsRejected."""
        plan, read = self._asked.plan, self._rows.source
        valid, early, late = writing.valid, writing.unprocessed, writing.invalid
        preprocess = PreprocessReport(
            rows_in=read.rows_read,
            rows_out=valid.rows + late.rejected,
            rejected=early.rejected,
            counts=early.counts,
            columns=_named(self._rows.columns),
            path=plan.draft.valid,
            sha256=read.sha256,
            rejects_path=early.written_path,
            files=read.files,
            repeats=self._rows.repeats,
        )
        validate = ValidationReport(
            rows=preprocess.rows_out,
            valid=valid.rows,
            rejected=late.rejected,
            rejected_before=early.rejected,
            counts=late.counts,
            columns=_named(self._check.columns),
            output_path=plan.draft.valid,
            rejects_path=late.written_path,
            source_file=self.name,
            sha256=read.sha256,
        )
        rejected = early.rejected + late.rejected
        files = read.files if len(read.files) > 1 else ()
        valid.describe(Provenance(self.name, read.sha256, "typed", rejected, files))
        early.enforce(plan.options.limits, preprocess.rows_in, preprocess)
        late.enforce(
            plan.options.limits,
            validate.rows + early.rejected,
            validate,
            before=early.rejected,
        )
        self._reports = FusedReports(preprocess, validate)
        self._facts = Facts(valid.rows, rejected, read.sha256)

    def _again(self) -> Generator[pa.RecordBatch]:
        self.seal()
        facts = self.known()
        path = self._asked.plan.kept(facts.sha256).valid
        again = ParquetInput(path, facts.sha256, rejected=facts.rejected, hidden=(ROW_COLUMN,))
        with again.open() as source, closing(source.batches()) as batches:
            yield from batches


def _named(columns: tuple[Any, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((column.name, column.type.name) for column in columns)


def _placed(reports: FusedReports, kept: Places) -> FusedReports:
    """Return the reports with the last names of what they tell of."""
    early, late = reports.preprocess, reports.validate
    return FusedReports(
        replace(early, path=kept.valid, rejects_path=kept.unprocessed if early.rejected else None),
        replace(
            late,
            output_path=kept.valid,
            rejects_path=kept.invalid if late.rejected else None,
        ),
    )


def _move(written: Path, final: Path) -> None:
    """Give an output its last name; what was not written is gone from there as well."""
    if written == final:
        return
    if not written.is_file():
        final.unlink(missing_ok=True)
        return
    final.parent.mkdir(parents=True, exist_ok=True)
    written.replace(final)
    descriptor = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
