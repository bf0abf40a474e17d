"""Where PostgreSQL, the Celery broker, Kafka and the web server are; starts nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from jobu_core.config import Stack
from jobu_core.errors import ConfigError
from jobu_core.services.layout import layout_of
from jobu_core.services.ports import Address

if TYPE_CHECKING:
    from jobu_core.config import Settings

DAGSTER_SCHEMA: Final = "dagster"
"""Dagster's tables live in this schema of the job store's database, jobu's in public."""

_ENCODE: Final = (
    "is not a URL of the form scheme://user@host:port/name; write special"
    " characters of the password as %40 for @, %2F for /, %3A for :"
)
_PASSWORD: Final = re.compile(r"(?P<head>//[^:@/?#]*):.*@", re.DOTALL)
_PASSWORD_FIELD: Final = re.compile(r"(?P<head>\b(?:ssl)?password=)[^&\s]*", re.IGNORECASE)
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
    return _PASSWORD_FIELD.sub(r"\g<head>***", _PASSWORD.sub(r"\g<head>:***@", url))


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
        return _usable_broker(configured)
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
    parsed = parsed_url(url, setting)
    if parsed.get_backend_name() != "postgresql":
        raise ConfigError(f"{setting} must be PostgreSQL, not {parsed.get_backend_name()!r}")
    return _libpq(parsed.set(drivername="postgresql").render_as_string(hide_password=False))


def parsed_url(url: str, setting: str) -> URL:
    """Return a database's URL in its parts; ConfigError names ``setting``, never a part."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise ConfigError(
            f"{setting} is not a URL of the form postgresql://user@host/name"
        ) from None
    if "@" in (parsed.host or ""):  # half a password would be taken for a host and be shown
        raise ConfigError(f"{setting}: {_ENCODE}")
    return parsed


def _usable_broker(url: str) -> str:
    """Return a broker's URL that every client reads alike; half a password is no host."""
    try:
        parts = urlsplit(url)
        beyond = parts.path + parts.query + parts.fragment
        readable = parts.port is None or parts.port > 0
    except ValueError:
        raise ConfigError(f"worker.broker_url: {_ENCODE}") from None
    if not readable or ("@" in beyond and "socket" not in parts.scheme):
        raise ConfigError(f"worker.broker_url: {_ENCODE}")
    return url
