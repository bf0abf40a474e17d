"""``preprocess.narrow`` and ``preprocess.wide``: CSV to Parquet against pandas.

Ours writes what the pipeline writes: every cell as text with its source row, for
a model to judge. ``.typed`` declares a type for each column instead, which is what
pandas, polars and duckdb infer.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Final

import pandas as pd

from bench import data
from bench.extras import missing
from bench.race import Contestant, race
from bench.results import Outcome, Skipped, compared
from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.pipeline.preprocess import preprocess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pydantic import BaseModel

    from bench.options import Options

PEER = "pandas read_csv (C engine) + to_parquet"


def measure(options: Options) -> Outcome:
    """Measure both files."""
    narrow = data.write_csv(options.folder / "narrow.csv", data.narrow_text, options.rows)
    wide = data.write_csv(options.folder / "wide.csv", data.wide_text, options.wide_rows)
    outcome = _measure("preprocess.narrow", narrow, options.rows, data.Narrow, options)
    outcome.add(_measure("preprocess.wide", wide, options.wide_rows, data.Wide, options))
    return outcome


def _measure(name: str, source: Path, rows: int, row: type[BaseModel], options: Options) -> Outcome:
    outcome = Outcome()
    folder = options.folder
    types = {column.name: column.type.name for column in columns_of_model(row)}
    contestants = [
        Contestant("ours", lambda: _ours(source, folder / "ours.parquet"), rows),
        Contestant("typed", lambda: _ours(source, folder / "typed.parquet", types), rows),
        Contestant("pandas", lambda: _pandas(source, folder / "pandas.parquet"), rows),
    ]
    for extra, run in EXTRAS.items():
        reason = missing(extra)
        if reason is not None:
            outcome.skipped.append(Skipped(f"{name}.{extra}", reason))
            continue
        importlib.import_module(extra)  # the first run shall not pay for it
        target = folder / f"{extra}.parquet"
        contestants.append(Contestant(extra, partial(run, source, target), rows))
    laps = race(contestants, options.runs)
    size = source.stat().st_size
    outcome.results.append(
        compared(name, laps["ours"], laps["pandas"], against=PEER, target=1.0, bytes=size)
    )
    outcome.results.append(
        compared(f"{name}.typed", laps["typed"], laps["pandas"], against=PEER, bytes=size)
    )
    outcome.results.extend(
        compared(f"{name}.{extra}", laps["ours"], laps[extra], against=extra, bytes=size)
        for extra in EXTRAS
        if extra in laps
    )
    return outcome


def _ours(source: Path, output: Path, types: Mapping[str, str] | None = None) -> None:
    preprocess(source, output_path=output, source_name="bench.csv", types=types)


def _pandas(source: Path, output: Path) -> None:
    pd.read_csv(source).to_parquet(output)


def _polars(source: Path, output: Path) -> None:
    import polars as pl

    pl.read_csv(source).write_parquet(output)


def _duckdb(source: Path, output: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM read_csv('{source}')) TO '{output}' (FORMAT parquet)")


EXTRAS: Final[Mapping[str, Callable[[Path, Path], None]]] = {"polars": _polars, "duckdb": _duckdb}
"""Peers that are reported and bound nothing."""
