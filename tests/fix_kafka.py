"""Brokers for tests: a real Apache Kafka in KRaft mode, librdkafka's mock, and kcat.

The real one is started once per test process from the jars of Maven Central,
which are resolved once per machine into the user's cache folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from tests.requirements import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

KAFKA_VERSION = "4.1.0"
_START_SECONDS = 60
_ATTEMPTS = 3
_HEAP = "-Xms256m", "-Xmx512m"
_PROPERTIES = "server.properties"
_STORE = "broker.p12"
_STORE_PASSWORD = "of-a-test"  # noqa: S105 - guards nothing beyond one test

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>jobu.tests</groupId>
  <artifactId>kafka-broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
      <scope>runtime</scope>
    </dependency>
  </dependencies>
</project>
"""


@dataclass(frozen=True, slots=True)
class SecureListener:
    """The same broker behind TLS and a password."""

    bootstrap: str
    certificate: Path
    """The broker's own certificate, which is its own authority."""
    user: str = "jobu"
    password: str = "s3cret-of-the-broker"  # noqa: S105 - idem

    def client(self, mechanism: str = "PLAIN") -> dict[str, str]:
        """Return what ``kafka.client`` of the configuration must hold."""
        return {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.certificate),
            "sasl.mechanism": mechanism,
            "sasl.username": self.user,
            "sasl.password": self.password,
        }


@dataclass(frozen=True, slots=True)
class KafkaServer:
    """A running Apache Kafka and how to administer it."""

    bootstrap: str
    secure: SecureListener
    pid: int = 0

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the broker's process for a while: it answers nobody, and forgets nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)  # until the last of its threads has stopped
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def create_topic(self, name: str, partitions: int = 2, **config: str) -> None:
        """Make a topic, with settings of its own, and wait until it exists."""
        admin = self._admin()  # kept by name: its end would cancel the request
        wanted = NewTopic(name, partitions, 1, config=config)
        admin.create_topics([wanted])[name].result(30)

    def add_partitions(self, name: str, total: int) -> None:
        """Let a topic have ``total`` partitions."""
        admin = self._admin()
        admin.create_partitions([NewPartitions(name, total)])[name].result(30)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until no metadata names it."""
        admin = self._admin()
        admin.delete_topics([name], operation_timeout=30)[name].result(30)
        deadline = time.monotonic() + 30
        while name in admin.list_topics(timeout=5).topics:
            assert time.monotonic() < deadline, f"{name} was not deleted"

    def truncate(self, topic: str, partition: int, low: int) -> None:
        """Delete the records before ``low``, as retention would."""
        where = TopicPartition(topic, partition, low)
        admin = self._admin()
        admin.delete_records([where])[where].result(30)

    def forget_group(self, group: str) -> None:
        """Delete what the group has committed, as its expiry would."""
        admin = self._admin()
        admin.delete_consumer_groups([group], request_timeout=30)[group].result(30)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap})


def free_port() -> int:
    """Return a TCP port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """Return the folder of the broker's jars."""
    return resolve_jars()


def resolve_jars() -> Path:
    """Resolve the broker's jars once per machine; returns their folder."""
    for program in ("java", "keytool", "mvn"):
        if shutil.which(program) is None:
            missing("kafka", f"{program} is not installed")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "jobu-tests" / f"kafka-{KAFKA_VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _resolve(folder)
    return folder / "libs"


def _resolve(folder: Path) -> None:
    (folder / "pom.xml").write_text(_POM)
    shutil.rmtree(folder / "libs", ignore_errors=True)
    command = [
        *("mvn", "-B", "-q", "-f", str(folder / "pom.xml"), "dependency:copy-dependencies"),
        *(f"-DoutputDirectory={folder / 'libs'}", "-DincludeScope=runtime"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        missing("kafka", f"Maven cannot resolve the jars: {done.stdout[-400:]}")
    (folder / "complete").touch()


@pytest.fixture(scope="session")
def real_kafka(
    kafka_jars: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KafkaServer]:
    """Start an Apache Kafka for this test process, ended with it."""
    for _ in range(_ATTEMPTS):  # another process may take the free port first
        folder = tmp_path_factory.mktemp("kafka")
        bootstrap = f"127.0.0.1:{free_port()}"
        secure = SecureListener(f"127.0.0.1:{free_port()}", make_certificate(folder))
        process = _start(kafka_jars, folder, bootstrap, secure)
        server = KafkaServer(bootstrap, secure, process.pid)
        try:
            if _is_ready(server, process):
                yield server
                return
        finally:
            process.kill()
            process.wait()
    missing("kafka", f"does not start: {(folder / 'kafka.log').read_text()[-800:]}")


def make_certificate(folder: Path) -> Path:
    """Make a key store for a broker on 127.0.0.1 and return its certificate."""
    store = ("-keystore", str(folder / _STORE), "-storepass", _STORE_PASSWORD, "-alias", "broker")
    key = ("-keyalg", "EC", "-groupname", "secp256r1", "-validity", "2", "-dname", "CN=127.0.0.1")
    names = ("-ext", "san=ip:127.0.0.1", "-ext", "bc:c=ca:true")
    certificate = folder / "broker.pem"
    keytool = shutil.which("keytool") or missing("kafka", "keytool is not installed")
    for command in (
        ("-genkeypair", *store, *key, *names),
        ("-exportcert", *store, "-rfc", "-file", str(certificate)),
    ):
        subprocess.run([keytool, *command], check=True, capture_output=True)
    return certificate


def _start(
    jars: Path,
    folder: Path,
    bootstrap: str,
    secure: SecureListener,
) -> subprocess.Popen[bytes]:
    format_storage(jars, folder, bootstrap, secure)
    return run_broker(jars, folder)


def run_broker(jars: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start the broker whose storage was formatted in ``folder``; also after a kill."""
    command = ["java", *_HEAP, "-cp", f"{jars}/*", "kafka.Kafka", str(folder / _PROPERTIES)]
    with (folder / "kafka.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def format_storage(jars: Path, folder: Path, bootstrap: str, secure: SecureListener) -> None:
    """Write a broker's properties and its empty storage into ``folder``."""
    controller = f"127.0.0.1:{free_port()}"
    listeners = f"PLAINTEXT://{bootstrap},CONTROLLER://{controller},SASL_SSL://{secure.bootstrap}"
    users = f'user_{secure.user}="{secure.password}"'
    login = "org.apache.kafka.common.security"
    properties = folder / _PROPERTIES
    properties.write_text(
        f"""process.roles=broker,controller
node.id=1
listeners={listeners}
advertised.listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers={controller}
log.dirs={folder / "data"}
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
ssl.keystore.location={folder / _STORE}
ssl.keystore.password={_STORE_PASSWORD}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required {users};
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
""",
    )
    java = ["java", *_HEAP, "-cp", f"{jars}/*"]
    # An id that began with a dash would be read as an option: one in 64 does.
    cluster_id = urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
    scram = f"SCRAM-SHA-512=[name={secure.user},password={secure.password}]"
    form = ["format", "--standalone", "-t", cluster_id, "-c", str(properties), "-S", scram]
    subprocess.run([*java, "kafka.tools.StorageTool", *form], check=True, capture_output=True)


def _is_ready(server: KafkaServer, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    quiet = logging.getLogger("tests.kafka")
    quiet.setLevel(logging.CRITICAL)
    client = AdminClient({"bootstrap.servers": server.bootstrap}, logger=quiet)
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(KafkaException):
            if client.list_topics(timeout=1).brokers:
                return True
    return False


@pytest.fixture
def mock_kafka() -> Iterator[str]:
    """Start librdkafka's mock cluster; yields its bootstrap servers."""
    quiet = logging.getLogger("tests.kafka")
    owner = Producer({"bootstrap.servers": "-", "test.mock.num.brokers": 1}, logger=quiet)
    broker = next(iter(owner.list_topics(timeout=10).brokers.values()))
    yield f"{broker.host}:{broker.port}"
    owner.flush(1)


@pytest.fixture(scope="session")
def kcat() -> str:
    """Return the path of kcat, a Kafka client that is not ours."""
    found = shutil.which("kcat")
    if found is None:
        missing("kcat", "it is not installed")
    return found
