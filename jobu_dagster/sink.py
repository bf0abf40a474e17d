"""Where an op's handler writes to: the run's event log, by way of the op's context."""

from __future__ import annotations

import io
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobu_core.handlers.base import ColumnSource, Materialization
    from jobu_core.redaction import Redactor


class OpSink:
    """Turns what a handler emits into Dagster events of one op."""

    def __init__(self, context: dg.OpExecutionContext, redact: Redactor) -> None:
        """Write to the event log of ``context`` what ``redact`` leaves of it."""
        self._context = context
        self._redact = redact

    def emit(self, made: Materialization) -> None:
        """Record a materialization with its columns, and its checks."""
        key = dg.AssetKey(list(made.asset))
        metadata: dict[str, Any] = dict(made.metadata)
        if made.columns:
            metadata["dagster/column_schema"] = dg.TableSchema(
                columns=[dg.TableColumn(name, kind) for name, kind in made.columns],
            )
        if made.sources:
            metadata["dagster/column_lineage"] = _lineage(made.sources)
        if made.preview is not None:
            metadata["preview"] = dg.MetadataValue.md(made.preview)
        self._context.log_event(dg.AssetMaterialization(key, metadata=metadata))
        for check in made.checks:
            evaluation = dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=check.name,
                passed=check.passed,
                metadata=dict(check.metadata),
            )
            # log_event stores it as any other event; only its annotation leaves it out.
            self._context.log_event(evaluation)  # type: ignore[arg-type]

    def log(self, message: str) -> None:
        """Write one line to the run's log."""
        self._context.log.info(self._redact(message))

    def summarize(self, metadata: Mapping[str, Any]) -> None:
        """Show facts on the step itself."""
        self._context.add_output_metadata(dict(metadata))

    @contextmanager
    def captured_output(self) -> Iterator[None]:
        """Send what the handler prints to the run's log, line by line."""
        lines = _Lines(self)
        with redirect_stdout(lines):
            yield
        lines.close()


def _lineage(sources: Mapping[str, ColumnSource]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(dg.AssetKey(list(source.asset)), source.column)]
            for name, source in sources.items()
        },
    )


class _Lines(io.TextIOBase):
    """A text stream whose complete lines become log lines."""

    def __init__(self, sink: OpSink) -> None:
        self._sink = sink
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._sink.log(line)
        return len(text)

    def close(self) -> None:
        if self._rest:
            self._sink.log(self._rest)
            self._rest = ""
        super().close()
