"""Loads into MariaDB: append, exactly once, and what is refused before a byte is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from jobu_core.errors import DataError, LoadRefused
from jobu_core.pipeline.load.mysql.loader import load_parquet
from jobu_core.pipeline.load.request import Mode, Outcome
from tests.load_bench import items

if TYPE_CHECKING:
    from tests.fix_mariadb import MariaDB
    from tests.mysql_bench import MysqlBench

WAYS = pytest.mark.parametrize("options", ["", "&local_infile=0"], ids=["local", "insert"])

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(100), value double)"


def test_append_adds_the_rows_and_their_manifest(mysql_bench: MysqlBench) -> None:
    """Both or neither: they are one transaction."""
    mysql_bench.run(ITEMS)
    result = load_parquet(mysql_bench.request(items(1000)))
    assert (result.outcome, result.rows, result.strategy) == (Outcome.LOADED, 1000, "append")
    assert mysql_bench.rows("SELECT * FROM items WHERE id IN (1, 1000) ORDER BY id") == [
        (1, "item 1", 0.25),
        (1000, "item 1000", 250.0),
    ]
    assert mysql_bench.rows("SELECT load_id, `rows`, mode FROM jobu_loads") == [
        (result.load_id, 1000, "append")
    ]


def test_the_servers_limit_of_a_packet_is_kept(mysql_bench: MysqlBench, mariadb: MariaDB) -> None:
    """LOAD DATA is sent in smaller pieces, and what does not fit an INSERT is named."""
    wide = pa.table({"id": [1], "name": ["n" * 100_000]})
    mysql_bench.run("CREATE TABLE wide (id bigint, name longtext)")
    mariadb.run("SET GLOBAL max_allowed_packet = 16384")
    try:
        assert load_parquet(mysql_bench.request(wide, "wide")).rows == 1
        by_insert = mysql_bench.url + "&local_infile=0"
        request = mysql_bench.request(wide, "wide", url=by_insert, execution_id=2)
        with pytest.raises(DataError, match="longer than the server's max_allowed_packet"):
            load_parquet(request)
    finally:
        mariadb.run("SET GLOBAL max_allowed_packet = 16777216")
    assert mysql_bench.count("wide") == 1


@WAYS
@pytest.mark.parametrize(
    ("tables", "told"),
    [
        (("CREATE TABLE t (id bigint PRIMARY KEY)",), "duplicate key.*key 'PRIMARY'"),
        (
            (
                "CREATE TABLE parent (id bigint PRIMARY KEY)",
                "CREATE TABLE t (id bigint,"  # noqa: ISC004 - one statement
                " CONSTRAINT family FOREIGN KEY (id) REFERENCES parent (id))",
            ),
            "no such parent row.*constraint 'family'",
        ),
        (
            (
                (
                    "CREATE TABLE t (id bigint) PARTITION BY RANGE (id)"
                    " (PARTITION few VALUES LESS THAN (7))"
                ),
            ),
            "no partition takes the row",
        ),
        (
            (
                "CREATE TABLE t (id bigint)",
                (
                    "CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW"
                    " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'value 7777 is refused'"
                ),
            ),
            "a trigger refused the row",
        ),
    ],
    ids=["duplicate", "foreign key", "partition", "trigger"],
)
def test_rows_that_the_table_refuses_fail_the_load(
    mysql_bench: MysqlBench, options: str, tables: tuple[str, ...], told: str
) -> None:
    """LOCAL makes warnings of these and skips the rows; no value is told, nothing stays."""
    mysql_bench.run(*tables)
    rows = pa.table({"id": [5, 7777, 7777]})
    with pytest.raises(DataError, match=told) as caught:
        load_parquet(mysql_bench.request(rows, "t", url=mysql_bench.url + options))
    assert "7777" not in str(caught.value)
    assert (mysql_bench.count("t"), mysql_bench.count("jobu_loads")) == (0, 0)


def test_warnings_count_where_the_server_keeps_none(
    mysql_bench: MysqlBench, mariadb: MariaDB
) -> None:
    """A server may be told to remember no warnings; a load wants to know its own."""
    mysql_bench.run("CREATE TABLE t (id bigint PRIMARY KEY)")
    mariadb.run("SET GLOBAL max_error_count = 0")
    try:
        with pytest.raises(DataError, match="duplicate key"):
            load_parquet(mysql_bench.request(pa.table({"id": [1, 1]}), "t"))
    finally:
        mariadb.run("SET GLOBAL max_error_count = 64")


@WAYS
def test_names_are_never_part_of_a_statement(mysql_bench: MysqlBench, options: str) -> None:
    """Whatever stands in names of columns and tables arrives as it is."""
    names = ["a%b", "a`b", "{c}", "d'e", 'f"g', "h i", "%s", "%(x)s", "A\\", "한글", ";--"]
    columns: dict[str, Any] = {name: [1, 2] for name in names} | {"by%tes`": [b"\0'", None]}
    url, keys = mysql_bench.url + options, ("a%b", "a`b")
    for execution in (1, 2):
        request = mysql_bench.request(
            pa.table(columns),
            "t%s`{x}'",
            url=url,
            create=True,
            mode=Mode.UPSERT,
            keys=keys,
            execution_id=execution,
        )
        assert load_parquet(request).rows == 2
    found = mysql_bench.rows("SELECT * FROM `t%s``{x}'`")
    assert sorted(row[0] for row in found) == [1, 2]
    assert sorted(row[-1] or b"" for row in found) == [b"", b"\0'"]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("CREATE VIEW t AS SELECT 1 AS id", "is a view, not a table"),
        ("CREATE TABLE t (id bigint) ENGINE=MEMORY", "kept by MEMORY, which cannot roll back"),
        ("CREATE SEQUENCE t", "is a sequence, not a table"),
    ],
)
def test_only_innodb_tables_are_loaded(mysql_bench: MysqlBench, made: str, told: str) -> None:
    """Anything else could keep half a load."""
    mysql_bench.run(made)
    with pytest.raises(LoadRefused, match=told):
        load_parquet(mysql_bench.request(pa.table({"id": [1]}), "t"))


@WAYS
def test_zero_in_an_auto_increment_column_stays_zero(mysql_bench: MysqlBench, options: str) -> None:
    """By default the server would take it for "the next number"."""
    mysql_bench.run("CREATE TABLE t (id bigint AUTO_INCREMENT PRIMARY KEY, v bigint)")
    rows = pa.table({"id": [0, 5], "v": [1, 2]})
    load_parquet(mysql_bench.request(rows, "t", url=mysql_bench.url + options))
    assert mysql_bench.rows("SELECT id, v FROM t") == [(0, 1), (5, 2)]


@pytest.mark.parametrize(
    ("made", "strategy"),
    [
        ("CREATE TABLE t (id bigint, twice bigint AS (id * 2) STORED, KEY (twice))", "swap"),
        ("CREATE TABLE t (id bigint AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 900", "swap"),
        (
            "CREATE TABLE t (id bigint) COMMENT 'c' PARTITION BY HASH (id) PARTITIONS 2",
            "swap",
        ),
        ("CREATE TABLE t (id bigint CHECK (id > 0)) ROW_FORMAT=COMPRESSED", "swap"),
        ("CREATE TABLE t (id bigint) WITH SYSTEM VERSIONING", "delete"),
        ("CREATE TABLE t (id bigint, up bigint REFERENCES other (id))", "delete"),
    ],
)
def test_a_replace_keeps_what_the_table_is(
    mysql_bench: MysqlBench, made: str, strategy: str
) -> None:
    """Either the new table is the old one's equal, or the old one is emptied and filled."""
    mysql_bench.run("CREATE TABLE other (id bigint PRIMARY KEY)", made)
    mysql_bench.run("CREATE VIEW seen AS SELECT id FROM t")
    before = mysql_bench.rows("SHOW CREATE TABLE t")
    for execution in (1, 2):
        rows = pa.table({"id": [1, 2, 3]})
        if "up bigint" in made:
            rows = rows.append_column("up", pa.nulls(3))
        result = load_parquet(
            mysql_bench.request(rows, "t", mode=Mode.REPLACE, execution_id=execution)
        )
        assert result.strategy == strategy
    assert mysql_bench.rows("SHOW CREATE TABLE t") == before
    assert mysql_bench.count("seen") == 3
    assert mysql_bench.tables() == {"other", "t", "seen"}


def test_a_trigger_makes_a_replace_delete(mysql_bench: MysqlBench) -> None:
    """It belongs to the table and would go with the old one."""
    mysql_bench.run(
        "CREATE TABLE t (id bigint, n bigint)",
        "CREATE TRIGGER more BEFORE INSERT ON t FOR EACH ROW SET NEW.n = NEW.n + 1",
    )
    rows = pa.table({"id": [1], "n": [1]})
    assert load_parquet(mysql_bench.request(rows, "t", mode=Mode.REPLACE)).strategy == "delete"
    assert mysql_bench.rows("SELECT n FROM t") == [(2,)]
