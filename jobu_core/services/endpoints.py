"""Where PostgreSQL, the Celery broker, Kafka and the web server are; starts nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit, urlunsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from jobu_core.config import Stack
from jobu_core.errors import ConfigError
from jobu_core.services.layout import layout_of
from jobu_core.services.ports import Address

if TYPE_CHECKING:
    from jobu_core.config import Settings

DAGSTER_SCHEMA: Final = "dagster"
"""Dagster's tables live in this schema of the job store's database, jobu's in public."""

_COMPOSE_DATABASE: Final = "postgresql://jobu:jobu@localhost:5432/jobu"
_COMPOSE_BROKER: Final = "redis://localhost:6379/0"
COMPOSE_MYSQL: Final = Address("localhost", 3306)
"""MySQL of the compose stack; a target of loads, so ``databases`` names it with its URL."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses that every process of one project agrees on."""

    database_url: str
    """The job store, ``postgresql://…``."""
    dagster_database_url: str
    """The same database with ``search_path`` set to Dagster's schema."""
    broker_url: str
    """Celery's broker: ``redis://…`` or ``redis+socket://…``."""
    kafka_bootstrap: str
    """``host:port[,host:port]``."""
    dagster_web_url: str
    """What a person opens in a browser."""


def endpoints(settings: Settings) -> Endpoints:
    """Return the addresses of ``settings``' stack.

    Raises ConfigError naming the setting when the external stack lacks a URL.
    """
    database = _database_url(settings)
    host = settings.admin.dagster_host
    shown = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - not bound here
    return Endpoints(
        database_url=database,
        dagster_database_url=with_search_path(database, DAGSTER_SCHEMA),
        broker_url=_broker_url(settings),
        kafka_bootstrap=settings.queue_dispatcher.kafka_bootstrap_servers,
        dagster_web_url=f"http://{shown}:{settings.admin.dagster_port}",
    )


def uses_embedded_postgres(settings: Settings) -> bool:
    """Say whether the job store is the embedded server."""
    return settings.stack is Stack.EMBEDDED and not _configured_database(settings)


def uses_embedded_valkey(settings: Settings) -> bool:
    """Say whether Celery's broker is the embedded server."""
    return settings.stack is Stack.EMBEDDED and not settings.worker.broker_url.get_secret_value()


def with_search_path(url: str, schema: str) -> str:
    """Return ``url`` with ``search_path`` set through libpq's ``options``.

    Spaces are written as ``%20``: libpq does not read ``+`` as a space.
    """
    parsed = make_url(url)
    before = parsed.query.get("options", ())
    kept = [before] if isinstance(before, str) else list(before)
    options = " ".join([*kept, f"-c search_path={schema}"])
    changed = parsed.update_query_dict({"options": options})
    return _libpq(changed.render_as_string(hide_password=False))


def without_password(url: str) -> str:
    """Return a database's or broker's URL as it may be shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user = parts.username or ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))


def _libpq(rendered: str) -> str:
    head, mark, query = rendered.partition("?")
    return head + mark + query.replace("+", "%20")


def _configured_database(settings: Settings) -> str:
    default = settings.databases.get("default")
    return default.url.get_secret_value() if default else ""


def _database_url(settings: Settings) -> str:
    configured = _configured_database(settings)
    if configured:
        return normalized(configured, "databases.default.url")
    if settings.stack is Stack.EMBEDDED:
        sockets = quote(str(layout_of(settings).postgres_sockets), safe="/")
        return f"postgresql://jobu@/jobu?host={sockets}"
    if settings.stack is Stack.COMPOSE:
        return _COMPOSE_DATABASE
    raise ConfigError(
        "databases.default.url (JOBU_DATABASE_URL) is empty;"
        " stack external needs postgresql://user:password@host:5432/name",
    )


def _broker_url(settings: Settings) -> str:
    configured = settings.worker.broker_url.get_secret_value()
    if configured:
        return configured
    if settings.stack is Stack.EMBEDDED:
        return f"redis+socket://{quote(str(layout_of(settings).valkey_socket), safe='/')}"
    if settings.stack is Stack.COMPOSE:
        return _COMPOSE_BROKER
    raise ConfigError(
        "worker.broker_url (JOBU_BROKER_URL) is empty;"
        " stack external needs redis://host:6379/0 of a Valkey or Redis",
    )


def normalized(url: str, setting: str) -> str:
    """Return a PostgreSQL URL without a driver's name; ConfigError names ``setting``."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(
            f"{setting} is not a URL of the form postgresql://user@host/name"
        ) from None
    if parsed.get_backend_name() != "postgresql":
        raise ConfigError(f"{setting} must be PostgreSQL, not {parsed.get_backend_name()!r}")
    return _libpq(parsed.set(drivername="postgresql").render_as_string(hide_password=False))
