"""``load.append``, ``.pk``, ``.replace`` and ``.wide``: Parquet into PostgreSQL.

The peer is the raw ``COPY FROM STDIN`` of the same rows as CSV into a table of the
same make. Ours also checks the columns and writes the manifest.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import data
from bench.attempts import load_request
from bench.load_peers import extra_peers
from bench.race import Contestant, race
from bench.results import Outcome, compared
from bench.server import TARGET, own_postgres
from jobu_core.pipeline.load.engine import load_parquet
from jobu_core.pipeline.load.request import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pydantic import BaseModel

    from bench.options import Options
    from bench.race import Lap
    from bench.results import Result
    from bench.server import Database

PEER = "raw COPY FROM STDIN of the same CSV"
PEER_REPLACE = "TRUNCATE + raw COPY in one transaction"


@dataclass(frozen=True, slots=True)
class Files:
    """The same rows twice, and the table for them."""

    csv: Path
    parquet: Path
    rows: int
    row: type[BaseModel]


def measure(options: Options) -> Outcome:
    """Measure all four, and what else one could load the narrow file with."""
    narrow = Files(
        data.write_csv(options.folder / "narrow.csv", data.narrow_text, options.rows),
        data.write_parquet(options.folder / "narrow.parquet", data.narrow_rows, options.rows),
        options.rows,
        data.Narrow,
    )
    wide = Files(
        data.write_csv(options.folder / "wide.csv", data.wide_text, options.wide_rows),
        data.write_parquet(options.folder / "wide.parquet", data.wide_rows, options.wide_rows),
        options.wide_rows,
        data.Wide,
    )
    with own_postgres() as database:
        outcome = _append(database, narrow, options)
        pk = _pair(database, narrow, options, key="id")
        outcome.results.append(compared("load.pk", *pk, against=PEER, target=0.85))
        outcome.results.append(_replace(database, narrow, options))
        mixed = _pair(database, wide, options)
        outcome.results.append(compared("load.wide", *mixed, against=PEER))
    return outcome


def _append(database: Database, files: Files, options: Options) -> Outcome:
    ddl = data.table_ddl(TARGET, files.row)
    extras, outcome = extra_peers(database, files, ddl)
    laps = race([*_ours_and_copy(database, files, ddl), *extras], options.runs)
    ours = laps["ours"]
    outcome.results.append(compared("load.append", ours, laps["copy"], against=PEER, target=1.0))
    outcome.results.extend(
        compared(f"load.append.{each.name}", ours, laps[each.name], against=each.title)
        for each in extras
    )
    return outcome


def _pair(
    database: Database, files: Files, options: Options, *, key: str | None = None
) -> tuple[Lap, Lap]:
    ddl = data.table_ddl(TARGET, files.row, key=key)
    laps = race(_ours_and_copy(database, files, ddl), options.runs)
    return laps["ours"], laps["copy"]


def _replace(database: Database, files: Files, options: Options) -> Result:
    ddl = data.table_ddl(TARGET, files.row, key="id")

    def filled() -> None:
        database.fresh(ddl)
        database.copy_csv(files.csv)
        database.run("CHECKPOINT")

    ways = {
        "ours": _ours(database, files, Mode.REPLACE),
        "copy": lambda: database.copy_csv(files.csv, f"TRUNCATE {TARGET}"),
    }
    laps = race(_contestants(database, files, ways, filled), options.runs)
    return compared("load.replace", laps["ours"], laps["copy"], against=PEER_REPLACE)


def _ours_and_copy(database: Database, files: Files, ddl: str) -> list[Contestant]:
    ways = {
        "ours": _ours(database, files, Mode.APPEND),
        "copy": lambda: database.copy_csv(files.csv),
    }
    return _contestants(database, files, ways, lambda: database.fresh(ddl))


def _contestants(
    database: Database,
    files: Files,
    ways: Mapping[str, Callable[[], None]],
    prepare: Callable[[], None],
) -> list[Contestant]:
    def check() -> None:
        database.expect(files.rows)

    return [
        Contestant(name, run, files.rows, prepare=prepare, check=check)
        for name, run in ways.items()
    ]


def _ours(database: Database, files: Files, mode: Mode) -> Callable[[], None]:
    numbers = itertools.count(1)

    def run() -> None:
        load_parquet(load_request(files.parquet, database.url, mode, next(numbers)))

    return run
