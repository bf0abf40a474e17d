"""``validate.clean`` and ``validate.bad5``: a model's verdict against a pydantic loop.

Both read the same Parquet of text cells, as the pipeline's first stage hands it to
the second. Ours also writes the valid rows and the
rejects; the loop only counts, so what it saves is ours to make up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from pydantic import ValidationError

from bench import data
from bench.race import Contestant, race
from bench.results import Outcome, PeersDisagree, compared
from jobu_core.pipeline.preprocess import preprocess
from jobu_core.pipeline.validate.rows import validate_file

if TYPE_CHECKING:
    from pathlib import Path

    from bench.options import Options

PEER = "pydantic, row by row"
_BATCH = 10_000


def measure(options: Options) -> Outcome:
    """Measure clean rows, then rows of which each twentieth is bad."""
    outcome = _measure("validate.clean", data.narrow_text, 10.0, options)
    outcome.add(_measure("validate.bad5", data.bad_narrow_text, 5.0, options))
    return outcome


def _measure(name: str, make: data.Maker, target: float, options: Options) -> Outcome:
    folder = options.folder
    raw = data.write_csv(folder / "raw.csv", make, options.rows)
    source = folder / "text.parquet"
    preprocess(raw, output_path=source, source_name="bench.csv", read_by="jobu")
    found: dict[str, int] = {}

    def ours() -> None:
        report = validate_file(
            source,
            model=data.Narrow,
            output_path=folder / "valid.parquet",
            source_name="bench.csv",
            read_by="jobu",
        )
        found["ours"] = report.rejected

    def loop() -> None:
        found["loop"] = len(_refused(source))

    laps = race(
        [Contestant("ours", ours, options.rows), Contestant("loop", loop, options.rows)],
        options.runs,
    )
    if found["ours"] != found["loop"]:
        raise PeersDisagree(f"{name}: ours rejected {found['ours']}, pydantic {found['loop']}")
    result = compared(
        name, laps["ours"], laps["loop"], against=PEER, target=target, rejected=found["ours"]
    )
    return Outcome([result])


def _refused(source: Path) -> list[int]:
    """Return the numbers of the rows that pydantic refuses, as a hand-written loop would."""
    refused = []
    validate = data.Narrow.model_validate_strings
    for batch in pq.ParquetFile(source).iter_batches(
        _BATCH, columns=list(data.Narrow.model_fields)
    ):
        for number, row in enumerate(batch.to_pylist()):
            try:
                validate(row)
            except ValidationError:
                refused.append(number)
    return refused
