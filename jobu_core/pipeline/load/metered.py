"""A source whose batches are counted for a meter, whatever it reads them from."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from jobu_core.pipeline.load.source import Source

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import pyarrow as pa

    from jobu_core.pipeline.load.request import LoadRequest
    from jobu_core.pipeline.load.source import Facts
    from jobu_core.pipeline.meter import Meter


class _Metered(Source):
    """Passes everything on; the meter hears of a batch when the next one is asked for."""

    def __init__(self, source: Source, meter: Meter) -> None:
        self._source = source
        self._meter = meter
        self.name = source.name
        self.schema = source.schema
        self.nulls = source.nulls
        self.stage = source.stage
        self.total_bytes = source.total_bytes

    @property
    def facts(self) -> Facts | None:
        return self._source.facts

    @property
    def read_bytes(self) -> int | None:
        return self._source.read_bytes

    def batches(self) -> Generator[pa.RecordBatch]:
        """Yield the rows; the counts start anew when they are read once more."""
        known = self.facts
        total = None if known is None else known.rows
        self._meter.start(self.stage, total_rows=total, total_bytes=self.total_bytes)
        taken = 0
        with closing(self._source.batches()) as batches:
            for batch in batches:
                yield batch
                taken += batch.num_rows
                self._meter.at(taken, self.read_bytes)

    def input_sha256(self) -> str:
        return self._source.input_sha256()

    def seal(self) -> None:
        self._source.seal()


@contextmanager
def open_metered(request: LoadRequest) -> Iterator[Source]:
    """Open the request's input for its load; its meter hears of each batch."""
    with request.input.open() as source:
        yield _Metered(source, request.meter)
