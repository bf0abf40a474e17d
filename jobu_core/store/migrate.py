"""Bring the job store's schema to this version of jobu, one migrator at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from jobu_core.errors import ConfigError
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    import sqlalchemy as sa

MIGRATION_LOCK: Final = 0x6A6F6275_00000001
"""Key of the transaction-level advisory lock that serialises migrators."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "jobu_core.store:migrations")
    return config


def migrate(engine: sa.Engine) -> str:
    """Apply every missing revision in one transaction and return the head revision.

    Safe to call from many processes at once: all but one wait, then find nothing
    to do, for which no right to create anything is needed. Raises StoreUnavailable
    when the database cannot be reached, ConfigError when the role lacks a right.
    """
    try:
        return _migrate(engine)
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        raise ConfigError(
            f"the job store's role lacks a right: {error.orig.diag.message_primary}; run"
            " `jobu migrate` as the owner of its tables, then docker/sql/grants.sql"
        ) from None


def _migrate(engine: sa.Engine) -> str:
    with transaction(engine) as connection:
        if current_revision(connection) == head_revision():
            return head_revision()
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return head_revision()


def head_revision() -> str:
    """Return the newest revision that this version of jobu knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:  # a package without its revisions is broken
        msg = "jobu_core.store.migrations holds no revision"
        raise RuntimeError(msg)
    return head


def current_revision(connection: sa.Connection) -> str | None:
    """Return the database's revision, or None when nothing was migrated yet."""
    context = MigrationContext.configure(connection, opts={"version_table": "jobu_migrations"})
    return context.get_current_revision()
