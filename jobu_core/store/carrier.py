"""The schema beside jobu's own in which the carrier (Dagster) keeps its tables."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.schema import CreateSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

CREATION_LOCK: Final = 0x6A6F6275_00000002
"""Advisory lock key: one process at a time looks for and creates the carrier's tables."""


@contextmanager
def creating(engine: Engine, schema: str) -> Iterator[None]:
    """Hold the creation lock, with ``schema`` made, while the caller creates tables.

    ``engine`` must be in autocommit mode. The schema is created only when it is
    missing, so that a role without CREATE on the database can run jobu.
    """
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": CREATION_LOCK})
        try:
            _create_if_missing(connection, schema)
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": CREATION_LOCK})


def _create_if_missing(connection: Connection, schema: str) -> None:
    if connection.scalar(text("SELECT to_regnamespace(:name)"), {"name": schema}) is None:
        connection.execute(CreateSchema(schema))
