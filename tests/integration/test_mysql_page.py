"""docs/mysql.md: its YAML is read, its grants are enough, its options are those of the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from jobu_core.config import load_settings
from jobu_core.pipeline.load.engine import examine_target, load_parquet
from jobu_core.pipeline.load.health import Wanted
from jobu_core.pipeline.load.identifiers import parse_table
from jobu_core.pipeline.load.mysql.connecting import _OPTIONS, SslMode, read_url
from jobu_core.pipeline.load.mysql.health import _LEAST
from jobu_core.pipeline.load.request import Mode, Strategy
from jobu_core.services.runtime import database_urls
from tests.load_bench import items
from tests.readme import README, blocks

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.fix_mariadb import MariaDB
    from tests.mysql_bench import MysqlBench

PAGE = README.parent / "docs" / "mysql.md"
ITEMS = "CREATE TABLE orders (id bigint PRIMARY KEY, name varchar(100), value double)"


def test_the_configuration_is_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both blocks, put where the page says."""
    database, dataset = (block.text for block in blocks("yaml", PAGE))
    (project / "config" / "database.yaml").write_text(database, encoding="utf-8")
    datasets = yaml.safe_dump({"datasets": yaml.safe_load(dataset)})
    (project / "config" / "datasets.yaml").write_text(datasets, encoding="utf-8")
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "p%40ss")
    monkeypatch.setenv("JOBU_DATABASE_URL", "postgresql://u@h/d")
    settings = load_settings(project)
    address = read_url(database_urls(settings)["warehouse"], "warehouse")
    assert address.tls.mode is SslMode.VERIFY_IDENTITY
    assert parse_table(settings.datasets["orders"].target).schema == address.database


def test_the_options_are_those_of_the_code() -> None:
    """None is missing on the page, none is made up."""
    text = PAGE.read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| `")]
    named = {name for line in table for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert named == set(_OPTIONS)
    modes = next(line for line in table if line.startswith("| `ssl_mode`"))
    assert re.findall(r"`(\w+)`", modes.split("|")[2]) == [mode.value for mode in SslMode]
    mariadb, mysql = (".".join(map(str, _LEAST[kind])) for kind in (True, False))
    assert f"MySQL {mysql} or later and MariaDB {mariadb} or later" in text


def granted(mariadb: MariaDB, block: str, schema: str) -> None:
    """Do what a block of the page says, in the test's database and for its socket."""
    text = block.replace("sales.", f"{schema}.").replace("'%'", "localhost")
    mariadb.run(*(each for each in text.replace(" REQUIRE SSL", "").split(";") if each.strip()))


def url_of(mariadb: MariaDB, bench: MysqlBench, user: str) -> str:
    """Return the URL of a user of the page."""
    return mariadb.url(bench.schema, user=f"{user}:choose-another")


def test_the_grants_are_enough(mysql_bench: MysqlBench, mariadb: MariaDB) -> None:
    """For every mode with the first; the least appends and replaces by delete."""
    full, least = (block.text for block in blocks("sql", PAGE))
    mysql_bench.run(ITEMS)
    granted(mariadb, full, mysql_bench.schema)
    wanted = [Wanted(parse_table(f"w.{mysql_bench.schema}.orders"), mode) for mode in Mode]
    try:
        url = url_of(mariadb, mysql_bench, "loader")
        assert examine_target(url, "w", wanted).problems == ()
        for execution, mode in enumerate((Mode.APPEND, Mode.UPSERT, Mode.REPLACE), start=1):
            keys = ("id",) if mode is Mode.UPSERT else ()
            request = mysql_bench.request(
                items(3), "orders", url=url, mode=mode, keys=keys, execution_id=execution
            )
            result = load_parquet(request)
        assert result.strategy == Strategy.SWAP.value
        granted(mariadb, least, mysql_bench.schema)
        url = url_of(mariadb, mysql_bench, "least")
        assert examine_target(url, "w", wanted[:2]).problems == ()
        request = mysql_bench.request(
            items(4), "orders", url=url, mode=Mode.REPLACE, execution_id=9
        )
        assert load_parquet(request).strategy == Strategy.DELETE.value
        rows = items(2, start=50)
        request = mysql_bench.request(rows, "orders", url=url, execution_id=10)
        assert load_parquet(request).rows == 2
    finally:
        mariadb.run("DROP USER IF EXISTS loader@localhost", "DROP USER IF EXISTS least@localhost")
