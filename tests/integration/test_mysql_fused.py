"""A fused stream into MariaDB: the same loaders, with counts that are known after the rows."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobu_core.errors import LoadRefused, RowsRejected
from jobu_core.handlers.pydantic_validator import SampleRecord
from jobu_core.pipeline.load.mysql.loader import load_parquet
from jobu_core.pipeline.load.request import Mode, Outcome, Strategy
from jobu_core.pipeline.rejects import Limits
from jobu_core.pipeline.validate.report import ValidationOptions
from tests.fused_support import stream_of
from tests.load_bench import items

if TYPE_CHECKING:
    from tests.mysql_bench import MysqlBench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(100), value double)"


@pytest.mark.parametrize(
    ("mode", "strategy", "how"),
    [
        (Mode.APPEND, Strategy.AUTO, "append"),
        (Mode.REPLACE, Strategy.AUTO, "swap"),
        (Mode.REPLACE, Strategy.DELETE, "delete"),
    ],
)
def test_a_stream_is_loaded_as_a_file_is(
    mysql_bench: MysqlBench, mode: Mode, strategy: Strategy, how: str
) -> None:
    """Counts and hash reach the manifest, though they are known after the last row only."""
    mysql_bench.run(ITEMS, "INSERT INTO items VALUES (-1, 'old', 0)")
    path = mysql_bench.folder / "in.csv"
    path.write_text("id,name,value\n1,a,1\nx,b,2\n3,c,3\n")
    request = replace(
        mysql_bench.request(items(1), mode=mode, strategy=strategy),
        input=stream_of(path, SampleRecord),
    )
    result = load_parquet(request)
    assert (result.outcome, result.rows, result.strategy) == (Outcome.LOADED, 2, how)
    assert mysql_bench.rows("SELECT `rows`, rejected, source_sha256 FROM jobu_loads") == [
        (2, 1, hashlib.sha256(path.read_bytes()).hexdigest())
    ]
    left = [] if mode is Mode.REPLACE else [(-1,)]
    assert mysql_bench.rows("SELECT id FROM items ORDER BY id") == [*left, (1,), (3,)]
    again = replace(request, attempt=2, input=stream_of(path, SampleRecord))
    assert load_parquet(again).outcome is Outcome.ALREADY_LOADED
    path.write_text("id,name,value\n1,z,1\n")
    with pytest.raises(LoadRefused, match="was made from another input"):
        load_parquet(replace(again, input=stream_of(path, SampleRecord)))


def test_a_stream_with_too_many_rejects_leaves_the_table(mysql_bench: MysqlBench) -> None:
    """The limits are held after the last row, before the renames."""
    mysql_bench.run(ITEMS, "INSERT INTO items VALUES (-1, 'old', 0)")
    path = mysql_bench.folder / "in.csv"
    path.write_text("id,name,value\n1,a,1\nx,b,2\n")
    stream = stream_of(path, SampleRecord, ValidationOptions(limits=Limits(strict=True)))
    for mode in (Mode.APPEND, Mode.REPLACE):
        request = mysql_bench.request(items(1), mode=mode)
        with pytest.raises(RowsRejected, match="strict allows none"):
            load_parquet(replace(request, input=stream))
    assert mysql_bench.rows("SELECT id FROM items") == [(-1,)]
    assert mysql_bench.tables() == {"items"}
