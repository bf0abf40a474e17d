"""What tests of MySQL loads need: the bench of loads, on a server of another kind."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jobu_core.pipeline.load.identifiers import parse_table
from jobu_core.pipeline.load.mysql.connecting import connect, read_url
from tests.load_bench import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from jobu_core.pipeline.load.mysql.streaming import StreamingConnection
    from jobu_core.pipeline.load.request import LoadRequest

DATABASE = "warehouse"
"""How the configuration calls the target."""

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(100), value double)"


class MysqlBench(Bench):
    """One MySQL database and a folder of files."""

    def __init__(self, url: str, folder: Path, schema: str) -> None:
        """Look at ``schema`` through ``url``."""
        super().__init__(url, folder)
        self.schema = schema

    def request(
        self,
        table: pa.Table | Path,
        target: str = "items",
        /,
        **changes: Any,  # noqa: ANN401 - fields of LoadRequest
    ) -> LoadRequest:
        """Return a request for a table of the bench's database."""
        named = parse_table(f'{DATABASE}.{self.schema}."{target}"')
        return super().request(table, "items", **{"target": named, **changes})

    def run(self, *statements: str) -> None:
        """Execute statements, each committed at once."""
        with self.connection() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def count(self, *name: str) -> int:
        """Return how many rows a table has."""
        return int(self.value(f"SELECT count(*) FROM `{'`.`'.join(name)}`"))  # noqa: S608 - ours

    def value(self, query: str) -> Any:  # noqa: ANN401 - whatever the query selects
        """Return the single value that a query finds."""
        ((found,),) = self.rows(query)
        return found

    def tables(self) -> set[str]:
        """Return every table but the manifest's two."""
        return {name for (name,) in self.rows("SHOW TABLES")} - {"jobu_loads", "jobu_swaps"}

    @contextmanager
    def connection(self) -> Iterator[StreamingConnection]:
        """Open an autocommit connection."""
        with connect(read_url(self.url, DATABASE), DATABASE) as opened:
            yield opened
