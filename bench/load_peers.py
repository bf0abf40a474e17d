"""What else a narrow file is loaded with: pandas twice, and dlt."""

from __future__ import annotations

import importlib
import io
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pandas as pd
import psycopg
import pyarrow.parquet as pq
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from bench.extras import missing
from bench.race import Contestant
from bench.results import Outcome, Skipped
from bench.server import BLOCK, TARGET

if TYPE_CHECKING:
    from pathlib import Path

    from bench.load import Files
    from bench.server import Database

_TO_SQL_SHARE: Final = 20
"""``to_sql`` gets a twentieth of the rows: all of them would take minutes."""
_TO_SQL_CHUNK: Final = 1_000
_DLT_TABLE: Final = "dlt_target"


@dataclass(frozen=True, slots=True)
class Extra(Contestant):
    """A peer that is reported and bounds nothing."""

    title: str = ""


def extra_peers(database: Database, files: Files, ddl: str) -> tuple[list[Extra], Outcome]:
    """Return the peers that are installed, and those that are not as skipped."""
    few = max(1, files.rows // _TO_SQL_SHARE)
    peers = [
        Extra(
            "pandas_copy",
            lambda: _pandas_copy(database, files.parquet),
            files.rows,
            prepare=lambda: database.fresh(ddl),
            check=lambda: database.expect(files.rows),
            title="pandas read_parquet, to_csv + COPY",
        ),
        Extra(
            "to_sql",
            lambda: _to_sql(database, files.parquet, few),
            few,
            prepare=lambda: database.fresh(ddl),
            check=lambda: database.expect(few),
            rounds=1,
            title="pandas DataFrame.to_sql(method='multi')",
        ),
    ]
    outcome = Outcome()
    reason = missing("dlt")
    if reason is None:
        peers.append(_dlt_peer(database, files, ddl))
    else:
        outcome.skipped.append(Skipped("load.append.dlt", reason))
    return peers, outcome


def _dlt_peer(database: Database, files: Files, ddl: str) -> Extra:
    importlib.import_module("dlt")  # the run shall not pay for it
    return Extra(
        "dlt",
        lambda: _dlt(database, files.parquet),
        files.rows,
        prepare=lambda: database.fresh(ddl),
        check=lambda: database.expect(files.rows, _DLT_TABLE),
        rounds=1,
        title="dlt, Arrow batches as CSV into a table of its own",
    )


def _pandas_copy(database: Database, source: Path) -> None:
    buffer = io.StringIO()
    pd.read_parquet(source).to_csv(buffer, index=False, header=False)
    buffer.seek(0)
    with (
        psycopg.connect(database.url) as connection,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {TARGET} FROM STDIN (FORMAT csv)".encode()) as copy,
    ):
        while block := buffer.read(BLOCK):
            copy.write(block)


def _to_sql(database: Database, source: Path, rows: int) -> None:
    frame = pd.read_parquet(source).head(rows)
    engine = create_engine(make_url(database.url).set(drivername="postgresql+psycopg"))
    try:
        frame.to_sql(
            TARGET,
            engine,
            if_exists="append",
            index=False,
            method="multi",
            chunksize=_TO_SQL_CHUNK,
        )
    finally:
        engine.dispose()


def _dlt(database: Database, source: Path) -> None:
    import dlt

    dlt.config["runtime.dlthub_telemetry"] = False  # a bench tells nobody
    credentials = _with_encoded_host(database.url)
    batches = dlt.resource(pq.ParquetFile(source).iter_batches(), name=_DLT_TABLE)
    with tempfile.TemporaryDirectory(prefix="jobu-bench-dlt-") as folder:
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(credentials),
            dataset_name="public",
        )
        pipeline.run(batches, write_disposition="replace", loader_file_format="csv")


def _with_encoded_host(url: str) -> str:
    """Return the URL with the socket's folder as its host; dlt looks nowhere else."""
    parsed = make_url(url)
    folder = parsed.query["host"]
    return f"postgresql://{parsed.username}:none@{quote(str(folder), safe='')}/{parsed.database}"
