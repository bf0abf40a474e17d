"""What the containers of docker/ find beside them: Kafka as the compose file configures it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from jobu_core.services.waiting import wait_until
from tests.compose_files import services
from tests.containers import Containers, lay_out
from tests.fix_kafka import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class ComposeKafka:
    """A Kafka with the listeners of the compose file."""

    host: str
    """Its address for the host, 9092 in the file."""
    containers: str
    """Its address for containers, 29092 in the file."""


@pytest.fixture(scope="module")
def compose_kafka(
    kafka_jars: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ComposeKafka]:
    """Start the tests' Kafka from the compose file's environment, as its image does."""
    folder = tmp_path_factory.mktemp("compose-kafka")
    ports = {each: str(free_port()) for each in ("29092", "29093", "9092")}
    given = {name: str(value) for name, value in services()["kafka"]["environment"].items()}
    cluster_id = given.pop("CLUSTER_ID")
    lines = [f"{_property(name)}={_here(value, ports)}" for name, value in given.items()]
    lines.append(f"log.dirs={folder / 'data'}")  # the later line counts
    file = folder / "server.properties"
    file.write_text("\n".join(lines))
    java = ["java", "-Xms256m", "-Xmx512m", "-cp", f"{kafka_jars}/*"]
    form = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(file)]
    subprocess.run([*java, *form], check=True, capture_output=True, timeout=60)
    found = ComposeKafka(f"localhost:{ports['9092']}", f"127.0.0.1:{ports['29092']}")
    log_file = folder / "kafka.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen([*java, "kafka.Kafka", str(file)], stdout=log, stderr=log)
    try:
        client = AdminClient({"bootstrap.servers": found.containers, "log_level": 0})
        assert wait_until(lambda: _answers(client), seconds=_START_SECONDS), log_file.read_text()
        yield found
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def containers(
    tmp_path: Path,
    database_url: str,
    valkey_url: str,
    compose_kafka: ComposeKafka,
) -> Iterator[Containers]:
    """Lay out the image; its containers are started by the test and ended with it."""
    root = tmp_path / "image"
    root.mkdir()
    lay_out(root)
    made = Containers(
        root,
        {
            "postgresql://jobu:jobu@postgres:5432/jobu": database_url,
            "redis://valkey:6379/0": valkey_url,
            "kafka:29092": compose_kafka.containers,
            '{"/data": "/data"}': json.dumps({"/data": str(root / "data")}),
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - replaced, not bound
            "4266": str(free_port()),
            "3000": str(free_port()),
        },
        {"CODE_SERVER_HOST": "127.0.0.1"},
    )
    yield made
    made.stop()


def _property(variable: str) -> str:
    return variable.removeprefix("KAFKA_").lower().replace("_", ".")


def _here(value: str, ports: dict[str, str]) -> str:
    for theirs, ours in ports.items():
        value = value.replace(f":{theirs}", f":{ours}")
    return value.replace("//kafka:", "//127.0.0.1:").replace("@kafka:", "@127.0.0.1:")


def _answers(client: AdminClient) -> bool:
    try:
        return bool(client.list_topics(timeout=1).brokers)
    except KafkaException:
        return False
