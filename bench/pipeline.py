"""``pipeline.ops`` and ``pipeline.fused``: CSV, model, table; the body of a run.

No queue and no Dagster around it: what an attempt does once it has been claimed.
The peer sends the same CSV through a raw COPY and checks nothing but the types.
"""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING, Any

from bench import attempts, data
from bench.race import Contestant, race
from bench.results import Outcome, compared
from bench.server import TARGET, own_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bench.options import Options
    from bench.server import Database

PEER = "raw COPY FROM STDIN of the same CSV"


def params(*, fused: bool) -> dict[str, Any]:
    """Return the params of the narrow file's pipeline."""
    told = {
        "input_path": "/data/narrow.csv",
        "model": "BenchNarrow",
        "target_table": TARGET,
        "mode": "append",
    }
    return told | {"fused": True} if fused else told


def measure(options: Options) -> Outcome:
    """Measure the three stages and the fused stream."""
    source = data.write_csv(options.folder / "narrow.csv", data.narrow_text, options.rows)
    outcome = Outcome()
    with own_postgres() as database:
        ways = {
            "copy": lambda: database.copy_csv(source),
            "ops": _ours(database, options.folder, fused=False),
            "fused": _ours(database, options.folder, fused=True),
        }
        laps = race(_contestants(database, ways, options.rows), options.runs)
    for name, target in (("fused", 0.8), ("ops", 0.4)):
        outcome.results.append(
            compared(f"pipeline.{name}", laps[name], laps["copy"], against=PEER, target=target)
        )
    return outcome


def _contestants(
    database: Database, ways: Mapping[str, Callable[[], None]], rows: int
) -> list[Contestant]:
    ddl = data.table_ddl(TARGET, data.Narrow)
    return [
        Contestant(
            name,
            run,
            rows,
            prepare=lambda: database.fresh(ddl),
            check=lambda: database.expect(rows),
        )
        for name, run in ways.items()
    ]


def _ours(database: Database, folder: Path, *, fused: bool) -> Callable[[], None]:
    known = attempts.registry()
    numbers = itertools.count(1 if fused else 1_000_001)
    parsed = known.parse("pipeline", params(fused=fused))

    def run() -> None:
        context = attempts.context(known, folder, database.url, next(numbers))
        known.get("pipeline").run(context, parsed)
        shutil.rmtree(folder / "work")

    return run
