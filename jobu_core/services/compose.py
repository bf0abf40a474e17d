"""The services of ``docker/docker-compose.yaml`` as the host sees them: who answers yet.

jobu starts no container. It waits for those that are starting, because
``docker compose up -d`` returns before they answer, and names the command that
starts those that do not come.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.errors import JobuError, ServiceError
from jobu_core.services.endpoints import (
    COMPOSE_MYSQL,
    endpoints,
    without_password,
)
from jobu_core.services.probes import broker_answers
from jobu_core.services.waiting import wait_until
from jobu_core.store.diagnosis import database_time
from jobu_core.store.engine import open_engine, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from jobu_core.config import Settings
    from jobu_core.services.ports import Address

UP: Final = "docker compose -f docker/docker-compose.yaml up -d"
"""What starts the services; from the project's folder."""

_WAIT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.5
_MYSQL_SECONDS: Final = 2.0
_MYSQL_PROTOCOL: Final = 10
_HEADER_BYTES: Final = 5


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the compose file."""

    name: str
    title: str
    address: str
    """As it may be shown."""
    ask: Callable[[], None]
    """Raises a JobuError when the service does not answer."""

    def answers(self) -> bool:
        """Say whether the service does its work, not only whether its port is open."""
        try:
            self.ask()
        except JobuError:
            return False
        return True


def services(settings: Settings) -> list[Service]:
    """Return every service of the compose file, at its configured address."""
    where = endpoints(settings)
    mysql = COMPOSE_MYSQL
    return [
        Service(
            "postgres",
            "PostgreSQL",
            without_password(where.database_url),
            lambda: _postgres_answers(where.database_url),
        ),
        Service("mysql", "MySQL", str(mysql), lambda: _mysql_answers(mysql)),
        Service(
            "valkey",
            "Valkey",
            without_password(where.broker_url),
            lambda: broker_answers(where.broker_url),
        ),
        Service("kafka", "Kafka", where.kafka_bootstrap, lambda: _kafka_answers(settings)),
    ]


def require(
    settings: Settings,
    names: Collection[str],
    say: Callable[[str], None],
) -> None:
    """Wait until the services called ``names`` answer.

    Raises ServiceError naming the first that does not within a minute, and the
    command that starts it.
    """
    for service in services(settings):
        if service.name not in names or service.answers():
            continue
        say(f"jobu: waiting for {service.title} at {service.address}; `{UP}` starts it")
        if not wait_until(service.answers, seconds=_WAIT_SECONDS, poll_seconds=_POLL_SECONDS):
            raise ServiceError(
                f"{service.title} does not answer at {service.address}: start it with `{UP}`",
            )


def _postgres_answers(url: str) -> None:
    engine = open_engine(url, application_name="jobu-probe", pool_size=1)
    try:
        with transaction(engine) as connection:
            database_time(connection)
    finally:
        engine.dispose()


def _kafka_answers(settings: Settings) -> None:
    queue = settings.queue_dispatcher
    adapter = KafkaAdapter(
        queue.kafka_bootstrap_servers,
        queue.kafka_topic,
        queue.kafka_group_id,
        settings.kafka.client,
    )
    with adapter:
        adapter.partitions()


def _mysql_answers(where: Address) -> None:
    """Read the greeting: MySQL speaks first, and not before it takes connections."""
    try:
        with socket.create_connection((where.host, where.port), _MYSQL_SECONDS) as connection:
            connection.settimeout(_MYSQL_SECONDS)
            greeting = connection.recv(_HEADER_BYTES, socket.MSG_WAITALL)
    except OSError as error:
        raise ServiceError(f"no connection: {type(error).__name__}") from error
    if len(greeting) < _HEADER_BYTES or greeting[-1] != _MYSQL_PROTOCOL:
        raise ServiceError("no MySQL greeting")
