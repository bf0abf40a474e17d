"""Each row of the table of types: Parquet → a made table → the same values, on both engines."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
import pytest

from jobu_core.pipeline.load.engine import is_mysql, load_parquet
from jobu_core.pipeline.types import NAMED, Column, arrow_schema, type_named
from tests.mysql_bench import MysqlBench

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.load_bench import Bench

UTC = dt.UTC
UNIQUE = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
MOMENT = dt.datetime(2024, 2, 29, 23, 59, 59, 999_999)  # noqa: DTZ001 - a naive column
DAY = dt.datetime(2024, 1, 1)  # noqa: DTZ001 - any, without a zone
VALUES: dict[str, list[Any]] = {
    "int": [-(2**63), 2**63 - 1, 2**53 + 1, 0],
    "float": [0.1, -2.5, 5e-324, 1.7976931348623157e308],
    "bool": [True, False],
    "str": ["", "NULL", '"a",\\N\n', "한글 🎉"],
    "bytes": [b"", b"\x00\xff\\'"],
    "date": [dt.date(1, 1, 1), dt.date(9999, 12, 31)],
    "time": [dt.time(0), dt.time(23, 59, 59, 999_999)],
    "datetime": [MOMENT, dt.datetime(1, 1, 1)],  # noqa: DTZ001 - idem
    "datetimetz": [MOMENT.replace(tzinfo=UTC), dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)],
    "timedelta": [dt.timedelta(hours=800, microseconds=1), dt.timedelta(seconds=-1)],
    "uuid": [UNIQUE],
    "json": ['{"a": [1, null, "\\u00e4"]}', "[]", '"x"'],
    "decimal(12,3)": [Decimal("-999999999.999"), Decimal("0.001")],
}
SHOWN: dict[str, str] = {
    "bigint": "bigint(20)",
    "json": "longtext",
    "char(36)": "char(36) character set ascii",
}
"""How MariaDB shows a column type of the table, where it says more; its json is a longtext."""
READ: dict[str, Callable[[Any], Any]] = {
    "uuid": lambda found: str(UUID(str(found))),
    "bool": bool,
    "time": lambda found: found if isinstance(found, dt.time) else (DAY + found).time(),
    "datetimetz": lambda found: found if found.tzinfo else found.replace(tzinfo=UTC),
}
"""What both drivers' values have in common."""


@pytest.fixture(params=["bench", "mysql_bench"])
def target(request: pytest.FixtureRequest) -> Bench:
    """Return a bench on a PostgreSQL, and on a MariaDB."""
    found: Bench = request.getfixturevalue(request.param)
    return found


def test_each_type_has_values_here() -> None:
    """A type that is added to the table is sent through both engines too."""
    assert list(VALUES) == [*NAMED, "decimal(12,3)"]


def test_a_made_table_gives_every_value_back(target: Bench) -> None:
    """One table of all types; each column in turn holds its values, then nulls."""
    columns = [Column(f"c{at}", type_named(name), True) for at, name in enumerate(VALUES)]
    schema = arrow_schema(columns, with_row=False)
    most = max(map(len, VALUES.values()))
    arrays: list[Any] = [
        pa.array(values + [None] * (most + 1 - len(values)), column.type.arrow)
        for column, values in zip(columns, VALUES.values(), strict=True)
    ]
    rows = pa.Table.from_arrays(
        [*arrays, pa.array(range(most + 1), pa.int64())],
        schema=schema.append(pa.field("at", pa.int64())),
    )
    result = load_parquet(target.request(rows, "types", create=True))
    engine = "mysql" if is_mysql(target.url) else "postgres"
    made = dict(result.columns)
    for column in columns:
        expected = getattr(column.type, engine)
        told = made[column.name]
        assert told in {expected, SHOWN.get(expected), _long(expected)}, column
    found = read_back(target)
    for at, (name, values) in enumerate(VALUES.items()):
        read = READ.get(name, lambda value: value)
        if (name, engine) == ("json", "mysql"):
            read = json.loads
        cells = [None if row[at] is None else read(row[at]) for row in found]
        written = [json.loads(value) for value in values] if name == "json" else values
        assert cells == written + [None] * (most + 1 - len(values)), name


def read_back(target: Bench) -> list[tuple[Any, ...]]:
    """Return the rows as a client in UTC sees them."""
    if not isinstance(target, MysqlBench):
        return target.rows("SELECT * FROM types ORDER BY at")
    with target.connection() as connection, connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute("SELECT * FROM types ORDER BY at")
        return list(cursor.fetchall())


def _long(name: str) -> str:
    """Return the name that PostgreSQL itself shows."""
    return {
        "time": "time without time zone",
        "timestamp": "timestamp without time zone",
        "timestamptz": "timestamp with time zone",
    }.get(name, name)
