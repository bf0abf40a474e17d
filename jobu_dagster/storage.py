"""Dagster's storage on jobu's PostgreSQL: one pooled engine, its own schema, no URL in YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)

from jobu_core.config import load_settings
from jobu_core.services.endpoints import endpoints
from jobu_core.services.ensure import ensure_postgres
from jobu_core.store.carrier import creating
from jobu_dagster.private import ConfigurableClassData, create_engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

SCHEMA: Final = "dagster"


class _AlreadyPooled:
    """Keeps our engine where the web server would replace it by one without pre-ping."""

    def optimize_for_webserver(
        self,
        statement_timeout: int,
        pool_recycle: int,
        max_overflow: int,
    ) -> None:
        """Do nothing: the engine is pooled from the start."""


class _RunStorage(_AlreadyPooled, PostgresRunStorage):
    """Runs, on the shared engine."""


class _EventLogStorage(_AlreadyPooled, PostgresEventLogStorage):
    """Event log, on the shared engine."""


class _ScheduleStorage(_AlreadyPooled, PostgresScheduleStorage):
    """Schedules and sensors, on the shared engine."""


class JobuStorage(DagsterPostgresStorage):
    """Dagster's three storages on one pooled engine.

    Starts the embedded PostgreSQL on first use, so that a plain ``dagster dev``
    works. The URL comes from jobu's settings. Connections are checked before
    use: after a server restart no run fails by a dead connection.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the storages; create Dagster's tables when there are none."""
        settings = load_settings()
        ensure_postgres(settings)
        url = endpoints(settings).dagster_database_url
        self.postgres_url = url
        self.should_autocreate_tables = True
        self._inst_data = inst_data
        engine = _pooled_engine(url)
        with creating(engine, SCHEMA):
            self._run_storage = _RunStorage(url)
            self._event_log_storage = _EventLogStorage(url)
            self._schedule_storage = _ScheduleStorage(url)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine  # noqa: SLF001 - the one seam dagster-postgres leaves
        super(DagsterPostgresStorage, self).__init__()  # type: ignore[no-untyped-call] # not its own __init__: that would open unpooled engines

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Take no configuration: everything is in config/."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003 - Dagster's signature
    ) -> JobuStorage:
        """Build the storage for an instance."""
        return cls(inst_data=inst_data)


def _pooled_engine(url: str) -> Engine:
    return create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=2,
        max_overflow=20,
        pool_pre_ping=True,
        pool_recycle=3600,
        connect_args={"connect_timeout": 5},
    )
