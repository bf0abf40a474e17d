"""Dagster's storage on jobu's PostgreSQL: one pooled engine, its own schema, no URL in YAML."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from sqlalchemy.exc import OperationalError

from jobu_core.clock import SystemClock
from jobu_core.config import load_settings
from jobu_core.errors import ServiceError
from jobu_core.services.endpoints import endpoints
from jobu_core.services.ensure import ensure_postgres
from jobu_core.store.carrier import creating
from jobu_dagster.private import ConfigurableClassData, create_engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Engine

    from jobu_core.config import Settings

SCHEMA: Final = "dagster"
PATIENCE_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 0.5


class StorageUnavailable(dg.DagsterError):
    """The database of Dagster's storage cannot be reached.

    A DagsterError, because a code server that starts during an outage then goes on
    without its instance, which it does not need. Any other error it would keep as
    its location's load error for ever, and no schedule or sensor would tick again.
    """


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
        url = endpoints(settings).dagster_database_url
        self.postgres_url = url
        self.should_autocreate_tables = True
        self._inst_data = inst_data
        engine = _pooled_engine(url)
        with _waiting_for_postgres(settings, engine), creating(engine, SCHEMA):
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


@contextmanager
def _waiting_for_postgres(settings: Settings, engine: Engine) -> Iterator[None]:
    """Give a restarting server a moment; raise StorageUnavailable when it stays away."""
    clock = SystemClock()
    until = clock.monotonic() + PATIENCE_SECONDS
    try:
        ensure_postgres(settings)
        while True:
            try:
                engine.connect().close()
                break
            except OperationalError:
                if clock.monotonic() > until:
                    raise
                clock.sleep(_PAUSE_SECONDS)
        yield
    except (OperationalError, ServiceError) as error:
        msg = f"Dagster's database is unavailable: {type(error).__name__}; jobu doctor says more"
        raise StorageUnavailable(msg) from error


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
