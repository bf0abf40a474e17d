"""The migrated database is what the code believes it to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from jobu_core.models import TRANSITIONS, Status
from jobu_core.store.migrate import current_revision, head_revision, migrate
from jobu_core.store.schema import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


def test_migrations_and_tables_agree(engine: Engine) -> None:
    """Alembic finds nothing to change between the code's tables and the database."""
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": "jobu_migrations", "compare_server_default": True},
        )
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    """A second migrate finds the head and keeps the installation's identity."""
    with engine.connect() as connection:
        before = connection.scalar(sa.text("SELECT value FROM jobu_meta"))
    assert migrate(engine) == head_revision()
    with engine.connect() as connection:
        assert current_revision(connection) == head_revision()
        assert connection.scalar(sa.text("SELECT value FROM jobu_meta")) == before


def _insert(connection: Connection, status: Status) -> int:
    token = "gen_random_uuid()" if status in {Status.QUEUED, Status.RUNNING} else "NULL"
    statement = (
        "INSERT INTO job_executions (handler_name, param_source, trigger, status, lease_token)"  # noqa: S608 - constants
        f" VALUES ('h', 'event', 'event', '{status}', {token}) RETURNING id"
    )
    return int(connection.execute(sa.text(statement)).scalar_one())


@pytest.mark.parametrize("old", list(Status))
@pytest.mark.parametrize("new", list(Status))
def test_database_allows_exactly_the_transitions(engine: Engine, old: Status, new: Status) -> None:
    """The trigger refuses what TRANSITIONS does not hold, and nothing else."""
    token = "gen_random_uuid()" if new in {Status.QUEUED, Status.RUNNING} else "NULL"
    with engine.connect() as connection:
        row = _insert(connection, old)
        statement = sa.text(
            f"UPDATE job_executions SET status = '{new}', lease_token = {token} WHERE id = :id",  # noqa: S608 - constants
        )
        if new is old or new in TRANSITIONS[old]:
            connection.execute(statement, {"id": row})
        else:
            with pytest.raises(sa.exc.IntegrityError, match="is not a transition"):
                connection.execute(statement, {"id": row})


def test_jobu_now_is_settable_and_survives_a_local_setting(engine: Engine) -> None:
    """After SET LOCAL has ended, jobu_now() is the real time again."""
    with engine.connect() as connection:
        with connection.begin():
            connection.execute(
                sa.text("SELECT set_config('jobu.now', '2030-01-01 00:00+00', true)"),
            )
            year = connection.scalar(sa.text("SELECT extract(year FROM jobu_now())::int"))
            assert year == 2030
        with connection.begin():
            assert connection.scalar(sa.text("SELECT jobu_now() < '2029-01-01'")) is True


def test_ledger_starts_empty(engine: Engine) -> None:
    """The view is readable and counts nothing on a new store."""
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM dispatch_ledger")) == 0
