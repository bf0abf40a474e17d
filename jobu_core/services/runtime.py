"""What every process of jobu opens first: settings, a migrated store, the registry."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobu_core.config import Settings, load_settings
from jobu_core.errors import ConfigError
from jobu_core.handlers.registry import Registry, load_registry
from jobu_core.pipeline.load.engine import is_mysql
from jobu_core.pipeline.load.mysql.connecting import read_url
from jobu_core.services.endpoints import Endpoints, endpoints, normalized, parsed_url
from jobu_core.services.ensure import ensure_kafka, ensure_postgres
from jobu_core.store.engine import open_engine
from jobu_core.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Runtime:
    """Opened resources of one process; closed by ``open_runtime``."""

    settings: Settings
    endpoints: Endpoints
    engine: sa.Engine
    registry: Registry


@contextmanager
def open_runtime(
    settings: Settings | None = None,
    *,
    application_name: str,
    kafka: bool = False,
) -> Iterator[Runtime]:
    """Open the job store, migrated, and the registry; start the embedded services needed.

    ``kafka`` also sees to the embedded broker. Raises ConfigError, ServiceError or
    StoreUnavailable.
    """
    known = settings or load_settings()
    where = endpoints(known)
    registry = load_registry(known.handlers, known.datasets, root=known.root)
    ensure_postgres(known)
    if kafka:
        ensure_kafka(known)
    default = known.databases.get("default")
    pool_size = default.pool_size if default else 5
    engine = open_engine(
        where.database_url,
        application_name=application_name,
        pool_size=pool_size,
    )
    try:
        migrate(engine)
        yield Runtime(known, where, engine, registry)
    finally:
        engine.dispose()


def database_urls(settings: Settings) -> dict[str, str]:
    """Return the URL of each configured database, the job store's default applied.

    Raises ConfigError naming a load target without a URL that its driver could use.
    """
    urls = {"default": endpoints(settings).database_url}
    return urls | {
        name: target_url(settings, name) for name in settings.databases if name != "default"
    }


def target_url(settings: Settings, name: str) -> str:
    """Return the URL of a load target; raises ConfigError when no driver could use it."""
    url = settings.databases[name].url.get_secret_value()
    setting = f"databases.{name}.url"
    if not url:
        raise ConfigError(f"{setting} is empty")
    if is_mysql(url):
        read_url(url, name)
        return url
    kind = parsed_url(url, setting).get_backend_name()
    if kind == "postgresql":
        return normalized(url, setting)
    raise ConfigError(
        f"{setting} begins with {kind!r}; loads go into postgresql://, mysql:// and mariadb://"
    )
