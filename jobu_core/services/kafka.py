"""The embedded broker as its users see it: is it up, is it ours, may it have the port."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import psutil

from jobu_core.errors import ConfigError, PortTaken
from jobu_core.services.ports import Address, can_bind, can_connect
from jobu_core.services.supervisord import Program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobu_core.config import Settings
    from jobu_core.services.layout import Layout

SETTING: Final = "queue_dispatcher.kafka_bootstrap_servers"


@dataclass(frozen=True, slots=True)
class BrokerRecord:
    """What ``.jobu/kafka.json`` says of the embedded broker that was started last."""

    cluster_id: str
    bootstrap: str
    pid: int
    started: float
    """The process's creation time, which tells a reused pid."""


def program(settings: Settings, layout: Layout, environment: Mapping[str, str]) -> Program:
    """Return how supervisord runs the broker."""
    return Program(
        name="kafka",
        title="Kafka broker",
        command=(sys.executable, "-m", "jobu_core.services.broker"),
        directory=settings.root,
        environment={**environment, "JOBU_ROOT": str(layout.root)},
        stop_seconds=3,
        priority=20,
    )


def address(settings: Settings) -> Address:
    """Return where the embedded broker listens; ConfigError for more than one server."""
    servers = settings.queue_dispatcher.kafka_bootstrap_servers
    host, mark, port = servers.rpartition(":")
    if "," in servers or not mark or not port.isdigit():
        raise ConfigError(
            f"{SETTING} must be one host:port for the embedded broker, not {servers!r};"
            " for another Kafka set JOBU_STACK=external or kafka.adopt_existing: true",
        )
    return Address(host.strip("[]"), int(port))


def ready(settings: Settings, layout: Layout) -> bool:
    """Say whether the configured port is served by our broker, or an adopted one."""
    if settings.kafka.adopt_existing:
        return _adopted(settings)
    record = read_record(layout)
    if record is None or record.bootstrap != settings.queue_dispatcher.kafka_bootstrap_servers:
        return False
    return _is_alive(record) and can_connect(address(settings))


def require_port(settings: Settings) -> None:
    """Raise PortTaken when somebody else holds the broker's port."""
    where = address(settings)
    if can_bind(where):
        return
    raise PortTaken(
        f"port {where.port} is taken by another program: change {SETTING},"
        " or set kafka.adopt_existing: true when it is a Kafka that jobu shall use"
        " (JOBU_STACK=compose when it is that of docker/docker-compose.yaml)",
    )


def read_record(layout: Layout) -> BrokerRecord | None:
    """Return the record of the broker that was started last, or None."""
    try:
        return BrokerRecord(**json.loads(layout.kafka_record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_record(layout: Layout, cluster_id: str, bootstrap: str) -> None:
    """Record this process as the embedded broker."""
    me = psutil.Process()
    record = BrokerRecord(cluster_id, bootstrap, me.pid, me.create_time())
    beside = layout.kafka_record.with_suffix(".new")
    beside.write_text(json.dumps(asdict(record)), encoding="utf-8")
    beside.replace(layout.kafka_record)


def _is_alive(record: BrokerRecord) -> bool:
    try:
        os.kill(record.pid, 0)
        return abs(psutil.Process(record.pid).create_time() - record.started) < 1
    except (OSError, psutil.Error):
        return False


def _adopted(settings: Settings) -> bool:
    """Say whether any of the configured servers can be reached."""
    for server in settings.queue_dispatcher.kafka_bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if port.isdigit() and can_connect(Address(host.strip("[]"), int(port))):
            return True
    return False
