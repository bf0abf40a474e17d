"""Loads into MariaDB by users of few rights: another way or a clear error, nothing left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobu_core.errors import LoadRefused, TargetUnavailable
from jobu_core.pipeline.load.mysql.loader import load_parquet
from jobu_core.pipeline.load.request import Mode, Strategy
from tests.load_bench import items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fix_mariadb import MariaDB
    from tests.mysql_bench import MysqlBench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(100), value double)"
USER = "loader@localhost"


@pytest.fixture
def limited(mysql_bench: MysqlBench, mariadb: MariaDB) -> Iterator[MysqlBench]:
    """Return a bench with a table of one row, and a user ``loader`` who may do nothing yet."""
    mysql_bench.run(ITEMS, "INSERT INTO items VALUES (1, 'old', 0)")
    mariadb.run(f"CREATE USER {USER}")
    yield mysql_bench
    mariadb.run(f"DROP USER {USER}")


@pytest.fixture
def hidden(limited: MysqlBench, mariadb: MariaDB) -> Iterator[str]:
    """Make a table elsewhere whose foreign key points at ``items``; return its database."""
    database = f"{limited.schema}_hidden"
    mariadb.run(
        f"CREATE DATABASE {database}",
        f"CREATE TABLE {database}.child (id bigint,"
        f" FOREIGN KEY (id) REFERENCES {limited.schema}.items (id))",
        f"INSERT INTO {database}.child VALUES (1)",  # noqa: S608 - ours
        f"GRANT ALL ON {limited.schema}.* TO {USER}",
    )
    yield database
    mariadb.run(f"DROP DATABASE {database}")


def as_loader(bench: MysqlBench, mariadb: MariaDB, **changes: Any) -> Any:  # noqa: ANN401 - a request
    """Return the request of three rows by the user of few rights."""
    url = mariadb.url(bench.schema, user="loader")
    return bench.request(items(3), changes.pop("table", "items"), url=url, **changes)


def test_without_the_right_to_drop_a_replace_takes_the_other_way(
    limited: MysqlBench, mariadb: MariaDB
) -> None:
    """A table that is made beside the target could never be taken away again."""
    rights = "SELECT, INSERT, UPDATE, DELETE, CREATE"
    mariadb.run(f"GRANT {rights} ON {limited.schema}.* TO {USER}")
    result = load_parquet(as_loader(limited, mariadb, mode=Mode.REPLACE))
    assert (result.strategy, limited.count("items")) == ("delete", 3)
    assert limited.tables() == {"items"}
    with pytest.raises(LoadRefused, match="cannot be swapped: tables beside it need the rights"):
        load_parquet(
            as_loader(limited, mariadb, mode=Mode.REPLACE, strategy=Strategy.SWAP, execution_id=2)
        )
    with pytest.raises(LoadRefused, match="does not exist, and a load that makes it needs"):
        load_parquet(as_loader(limited, mariadb, table="made", create=True, execution_id=3))
    assert limited.tables() == {"items"}


def test_a_grant_that_comes_by_a_role_counts(limited: MysqlBench, mariadb: MariaDB) -> None:
    """The server is asked, not its tables of grants."""
    mariadb.run(
        "CREATE ROLE loading",
        f"GRANT ALL ON {limited.schema}.* TO loading",
        f"GRANT loading TO {USER}",
        f"SET DEFAULT ROLE loading FOR {USER}",
    )
    try:
        assert load_parquet(as_loader(limited, mariadb, mode=Mode.REPLACE)).strategy == "swap"
    finally:
        mariadb.run("DROP ROLE loading")


def test_rights_on_table_and_manifest_alone_are_enough(
    limited: MysqlBench, mariadb: MariaDB
) -> None:
    """Whoever may not see the ledger of swaps has made none."""
    load_parquet(limited.request(items(1), "others", create=True, mode=Mode.REPLACE))
    mariadb.run(
        f"GRANT SELECT, INSERT, UPDATE ON {limited.schema}.jobu_loads TO {USER}",
        f"GRANT SELECT, INSERT, DELETE ON {limited.schema}.items TO {USER}",
    )
    result = load_parquet(as_loader(limited, mariadb, mode=Mode.REPLACE, execution_id=2))
    assert (result.strategy, limited.count("items")) == ("delete", 3)


def test_a_foreign_key_that_the_user_cannot_see_stops_a_replace(
    limited: MysqlBench, mariadb: MariaDB, hidden: str
) -> None:
    """It would follow the old table; rows, key and names stay as they were."""
    for execution in (1, 2):
        request = as_loader(limited, mariadb, mode=Mode.REPLACE, execution_id=execution)
        with pytest.raises(LoadRefused, match="foreign key of a table that this user cannot see"):
            load_parquet(request)
    assert limited.rows("SELECT name FROM items") == [("old",)]
    assert limited.tables() == {"items"}
    assert (limited.count("jobu_swaps"), limited.count("jobu_loads")) == (0, 0)
    ((_, definition),) = limited.rows(f"SHOW CREATE TABLE {hidden}.child")
    assert f"REFERENCES `{limited.schema}`.`items`" in definition


def test_a_foreign_key_that_the_user_sees_makes_it_delete(
    limited: MysqlBench, mariadb: MariaDB, hidden: str
) -> None:
    """The way that keeps foreign keys is taken at once."""
    mariadb.run(f"TRUNCATE {hidden}.child", f"GRANT REFERENCES ON {hidden}.* TO {USER}")
    assert load_parquet(as_loader(limited, mariadb, mode=Mode.REPLACE)).strategy == "delete"


def test_a_server_that_is_read_only_is_tried_again_later(
    limited: MysqlBench, mariadb: MariaDB
) -> None:
    """A replica that is about to become the primary; the next attempt may find it so."""
    mariadb.run(f"GRANT ALL ON {limited.schema}.* TO {USER}", "SET GLOBAL read_only = 1")
    try:
        with pytest.raises(TargetUnavailable, match="read-only"):
            load_parquet(as_loader(limited, mariadb))
    finally:
        mariadb.run("SET GLOBAL read_only = 0")
