"""A server's own settings, however odd, change nothing about a load: each session sets its own."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from jobu_core.errors import DataError
from jobu_core.pipeline.load.mysql.loader import load_parquet
from jobu_core.pipeline.load.request import Mode
from tests.load_bench import items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fix_mariadb import MariaDB
    from tests.mysql_bench import MysqlBench

ODD = {
    "sql_mode": "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
    "time_zone": "'+09:00'",
    "sql_quote_show_create": "0",
    "sql_big_selects": "0",
    "max_join_size": "1",
    "completion_type": "'RELEASE'",
    "check_constraint_checks": "0",
    "foreign_key_checks": "0",
    "unique_checks": "0",
    "sql_safe_updates": "1",
    "sql_select_limit": "1",
    "explicit_defaults_for_timestamp": "0",
    "autocommit": "0",
    "tx_isolation": "'SERIALIZABLE'",
}


@pytest.fixture
def odd(mysql_bench: MysqlBench, mariadb: MariaDB) -> Iterator[MysqlBench]:
    """Let every new session begin with odd settings; the bench's own tables come first."""
    mysql_bench.run(
        "CREATE TABLE other (id bigint PRIMARY KEY)",
        "CREATE TABLE pointing (id bigint PRIMARY KEY, up bigint REFERENCES other (id))",
        "CREATE TABLE checked (id bigint CHECK (id > 0))",
        "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(100), value double)",
    )
    names = ", ".join(f"@@global.{name}" for name in ODD)
    (before,) = mysql_bench.rows(f"SELECT {names}")
    mariadb.run(*(f"SET GLOBAL {name} = {value}" for name, value in ODD.items()))
    yield mysql_bench
    values = (repr(value) for value in before)
    mariadb.run(*(f"SET GLOBAL {name} = {value}" for name, value in zip(ODD, values, strict=True)))


def test_a_foreign_key_is_not_lost_in_a_swap(odd: MysqlBench) -> None:
    """SHOW CREATE TABLE is what tells that the copy would lack it."""
    rows = pa.table({"id": [1, 2], "up": pa.nulls(2)})
    assert load_parquet(odd.request(rows, "pointing", mode=Mode.REPLACE)).strategy == "delete"
    ((_, definition),) = odd.rows("SHOW CREATE TABLE pointing")
    assert "REFERENCES" in definition


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("checked", {"id": [-1]}),
        ("pointing", {"id": [1], "up": [77]}),
        ("items", {"id": [1, 1], "name": ["a", "b"], "value": [1.0, 2.0]}),
    ],
)
@pytest.mark.parametrize("options", ["", "&local_infile=0"], ids=["local", "insert"])
def test_what_the_table_refuses_is_refused(
    odd: MysqlBench, options: str, table: str, rows: dict[str, list[object]]
) -> None:
    """Checks, foreign keys and unique keys hold although the server would not look."""
    with pytest.raises(DataError):
        load_parquet(odd.request(pa.table(rows), table, url=odd.url + options))


@pytest.mark.parametrize("options", ["", "&local_infile=0"], ids=["local", "insert"])
def test_rows_arrive_by_every_mode(odd: MysqlBench, options: str) -> None:
    """Backslashes, quotes, moments and more rows than the server would join or select."""
    url = odd.url + options
    texts = ["\\", "'", '"', "\\'", " x "]
    moment = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    fields: list[pa.Field[Any]] = [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("text", pa.string()),
    ]
    rows = pa.Table.from_arrays(
        [pa.array(range(5)), pa.array([moment] * 5, fields[1].type), pa.array(texts)],
        schema=pa.schema(fields),
    )
    load_parquet(odd.request(rows, "made", create=True, url=url))
    ((_, definition),) = odd.rows("SHOW CREATE TABLE made")
    assert "CURRENT_TIMESTAMP" not in definition.upper()
    assert seen(odd, "SELECT id, at, text FROM made ORDER BY id") == [
        (at, moment.replace(tzinfo=None), text) for at, text in enumerate(texts)
    ]
    for execution, mode in enumerate((Mode.APPEND, Mode.UPSERT, Mode.REPLACE), start=2):
        keys = ("id",) if mode is Mode.UPSERT else ()
        request = odd.request(items(1000), url=url, mode=mode, keys=keys, execution_id=execution)
        assert load_parquet(request).rows == 1000
        assert seen(odd, "SELECT count(*) FROM items") == [(1000,)]


def seen(bench: MysqlBench, query: str) -> list[tuple[Any, ...]]:
    """Return what a query finds in a session like everybody's."""
    with bench.connection() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SET sql_select_limit = 1000, sql_big_selects = 1, sql_mode = '', time_zone = '+00:00'"
        )
        cursor.execute(query)
        return list(cursor.fetchall())
