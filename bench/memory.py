"""``memory.pipeline``: the most memory that a worker ever held, in MB.

A process of its own imports what a warm worker has imported and runs the pipeline
once; the kernel says what its resident set was at most.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import data
from bench.results import Outcome, PeersDisagree, Result, machine
from bench.server import TARGET, own_postgres

if TYPE_CHECKING:
    from bench.options import Options
    from bench.server import Database

LIMIT_MB: Final = 500.0
_SAMPLE_ROWS: Final = 10_000


def measure(options: Options) -> Outcome:
    """Run the pipeline on a large file, as three stages and as one stream."""
    outcome = Outcome()
    rows = rows_for(options)
    source = data.write_csv(options.folder / "narrow.csv", data.narrow_text, rows)
    with own_postgres() as database:
        outcome.results.append(_measure("memory.pipeline", database, source, rows, fused=False))
        name = "memory.pipeline_fused"
        outcome.results.append(_measure(name, database, source, rows, fused=True))
    return outcome


def rows_for(options: Options) -> int:
    """Return how many narrow rows make a file of about the wanted size.

    Rows grow with their numbers, so the sample is taken where most of the rows are.
    """
    sample = options.folder / "sample.csv"
    wanted = _SAMPLE_ROWS
    for _ in range(2):
        middle = wanted // 2
        data.write_csv(sample, lambda _, count: data.narrow_text(middle, count), _SAMPLE_ROWS)  # noqa: B023 - used at once
        wanted = options.size_bytes * _SAMPLE_ROWS // sample.stat().st_size
    return max(1, wanted)


def _measure(name: str, database: Database, source: Path, rows: int, *, fused: bool) -> Result:
    ddl = data.table_ddl(TARGET, data.Narrow)
    database.fresh(ddl)
    stages = "fused" if fused else "ops"
    worker = [sys.executable, "-m", "bench.memory_worker"]
    done = subprocess.run(  # noqa: S603 - a module of ours
        [*worker, database.url, str(source.parent), stages],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        check=True,
    )
    told = json.loads(done.stdout)
    if told["rows"] != rows:
        raise PeersDisagree(f"{told['rows']} rows were loaded, not {rows}")
    return Result(
        name=name,
        value=round(told["peak_mb"], 1),
        unit="MB",
        peer=None,
        peer_value=None,
        ratio=None,
        limit="value at most",
        limit_value=LIMIT_MB,
        conditions={
            **machine(),
            "rows": rows,
            "bytes": source.stat().st_size,
            "imports_mb": round(told["imports_mb"], 1),
            "seconds": round(told["seconds"], 1),
        },
    )
