"""The compose files fit their schema, each other, jobu's settings and jobu's programs."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.engine import make_url

from jobu_core.config import Settings, Stack, load_settings
from jobu_core.services import programs
from jobu_core.services.endpoints import COMPOSE_MYSQL, endpoints
from jobu_core.services.layout import layout_of
from tests.compose_files import (
    DOCKER,
    FILES,
    SCALE,
    ZOOKEEPER,
    mounts,
    of_jobu,
    published,
    read,
    seconds,
    services,
)
from tests.fix_kafka import KAFKA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PROJECT = DOCKER.parent
SETTINGS = Settings(root=Path("/srv/jobu"), stack=Stack.COMPOSE)
EVERY = services(ZOOKEEPER, SCALE) | {f"base {name}": each for name, each in services().items()}


def _schema_check(paths: Iterable[Path]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run(
        [*command, *map(str, paths)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_files_fit_the_schema_of_compose() -> None:
    """Checked against the specification's own schema."""
    done = _schema_check(DOCKER / name for name in FILES)
    assert done.returncode == 0, done.stdout


def test_the_schema_finds_a_slip(tmp_path: Path) -> None:
    """A misspelt key of a service is refused, so the test above can fail."""
    text = (DOCKER / FILES[0]).read_text(encoding="utf-8")
    slip = tmp_path / "slip.yaml"
    slip.write_text(text.replace("stop_grace_period", "stop_grace_time"), encoding="utf-8")
    assert "stop_grace_time" in _schema_check([slip]).stdout


def test_services_alone_come_without_a_profile() -> None:
    """`up -d` starts what jobu on the host needs, and nothing of jobu."""
    plain = {name for name, each in services().items() if not each.get("profiles")}
    assert plain == {"postgres", "mysql", "valkey", "kafka"}
    assert set(of_jobu()) == {
        *("migrate", "code-server", "daemon", "webserver", "queue-dispatcher", "worker"),
    }
    assert all(each["profiles"] == ["app"] for each in of_jobu().values())


def test_the_compose_stack_finds_its_services_on_the_host() -> None:
    """The addresses of JOBU_STACK=compose are the published ports, user and password included."""
    found = services()
    where = endpoints(SETTINGS)
    database = make_url(where.database_url)
    assert published(found["postgres"]) == {database.port: "127.0.0.1:5432"}
    assert found["postgres"]["environment"] == {
        "POSTGRES_USER": database.username,
        "POSTGRES_PASSWORD": database.password,
        "POSTGRES_DB": database.database,
    }
    assert published(found["valkey"]) == {make_url(where.broker_url).port: "127.0.0.1:6379"}
    assert published(found["mysql"]) == {COMPOSE_MYSQL.port: "127.0.0.1:3306"}
    assert f"HOST://{where.kafka_bootstrap}," in _kafka("ADVERTISED_LISTENERS")
    assert published(found["kafka"]) == {9092: "127.0.0.1:9092"}
    assert published(found["webserver"]) == {SETTINGS.admin.dagster_port: "127.0.0.1:3000"}


def _kafka(key: str) -> str:
    return str(services()["kafka"]["environment"][f"KAFKA_{key}"])


def test_no_port_is_open_to_other_machines() -> None:
    """The passwords stand in the file: every port is published on loopback only."""
    addresses = {each for service in EVERY.values() for each in published(service).values()}
    assert len(addresses) == 6
    assert all(each.startswith("127.0.0.1:") for each in addresses)


@pytest.mark.parametrize("name", sorted(of_jobu()))
def test_the_environment_of_a_container_is_known_to_the_settings(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each address names a service and the port on which it serves containers."""
    given = services(SCALE)[name]["environment"]
    for variable, value in given.items():
        monkeypatch.setenv(variable, str(value))
    settings = load_settings(PROJECT)  # its config/ is mounted
    assert settings.stack is Stack.EXTERNAL
    where = endpoints(settings)
    database = make_url(where.database_url)
    assert (database.host, database.port) == ("postgres", 5432)
    assert database.set(host="localhost") == make_url(endpoints(SETTINGS).database_url)
    assert where.broker_url == "redis://valkey:6379/0"
    assert f"CONTAINERS://{where.kafka_bootstrap}" in _kafka("ADVERTISED_LISTENERS")
    assert settings.handlers.data_roots == {"/data": "/data"}
    assert (given["CODE_SERVER_HOST"], given["CODE_SERVER_PORT"]) == ("code-server", "4266")


def test_scaled_workers_have_slots_and_no_name_of_their_own() -> None:
    """A fixed name, host name or port would let one container start only."""
    worker = services(SCALE)["worker"]
    assert worker["scale"] == 3
    assert worker["environment"]["JOBU_WORKER__SLOTS"] == 2
    assert not {"container_name", "hostname", "ports"} & set(worker)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_service_can_be_relied_on(name: str) -> None:
    """A pinned image, restarts, time to end, a bounded log, a health check."""
    service = EVERY[name]
    assert re.search(r":\d+\.\d+(\.\d+)?$", service["image"])
    assert service["restart"] in {"unless-stopped", "on-failure"}
    assert service["logging"]["options"]["max-size"]
    assert seconds(service["stop_grace_period"]) >= 10
    silent = {"migrate", "queue-dispatcher"}  # one ends by itself, one serves no port
    assert ("healthcheck" in service) is (name.removeprefix("base ") not in silent)
    for needed, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in EVERY[needed]
        else:
            assert needed == "migrate"


def test_the_images_are_those_that_the_tests_know() -> None:
    """Jobu's own has jobu's version, Kafka that of the tests' broker."""
    assert {each["image"] for each in of_jobu().values()} == {f"jobu:{version('jobu')}"}
    assert services()["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_containers_have_time_to_end_and_no_rights() -> None:
    """Docker kills later than jobu's own supervisor would; nobody is root."""
    longest = max(each.stop_seconds for each in programs.programs(SETTINGS, layout_of(SETTINGS)))
    for name, each in of_jobu().items():
        assert seconds(each["stop_grace_period"]) > longest, name
        assert each["user"] == "1000:1000"
        assert each["cap_drop"] == ["ALL"]
        assert each["init"] is True  # a worker's dead children are reaped


def test_data_survives_and_is_shared() -> None:
    """Every volume is declared and used; /data is the project's; stages are every worker's."""
    for name in FILES:
        declared = set(read(name).get("volumes", {}))
        used = {
            source
            for each in read(name)["services"].values()
            for source in mounts(each).values()
            if not source.startswith(".")
        }
        assert used == declared
    found = services()
    assert set(mounts(found["postgres"])) == {"/var/lib/postgresql"}
    assert mounts(found["kafka"]) == {_kafka("LOG_DIRS"): "kafka"}
    for each in of_jobu().values():
        kept = mounts(each)
        assert (kept["/data"], kept["/opt/jobu/config"]) == ("../data", "../config")
        assert kept["/opt/jobu/.jobu/work"] == "work"
        assert load_settings(PROJECT).worker.work_dir == ".jobu/work"
    assert (DOCKER / "../data").is_dir()
    assert (DOCKER / "../config/database.yaml").is_file()


def _without(words: Sequence[str], *options: str) -> list[str]:
    """Return a command from ``-m`` on, without these options and their values."""
    left = list(words[1:])
    for option in options:
        if option in left:
            at = left.index(option)
            del left[at : at + 2]
    return left


@pytest.mark.parametrize(
    ("service", "program", "differing"),
    [
        ("code-server", programs.CODE_SERVER, ("--socket", "--host", "--port")),
        ("daemon", programs.DAEMON, ("-w",)),
        ("webserver", programs.WEB_SERVER, ("-w", "-h", "-p")),
        ("worker", programs.WORKER, ("-n", "-P", "-c")),  # as the settings say, without options
    ],
)
def test_containers_run_what_jobu_up_runs(
    service: str,
    program: str,
    differing: tuple[str, ...],
) -> None:
    """The same commands but for addresses and names, whatever one of them learns."""
    (ours,) = (
        each for each in programs.programs(SETTINGS, layout_of(SETTINGS)) if each.name == program
    )
    theirs = services()[service]["command"]
    assert theirs[0] == "python"
    assert sorted(_without(theirs, *differing)) == sorted(_without(ours.command, *differing))


def test_zookeeper_takes_the_place_of_kraft_alone() -> None:
    """Kafka 3, after ZooKeeper on 2181, at the same addresses as Kafka 4, on a log of its own."""
    found = services(ZOOKEEPER)
    assert published(found["zookeeper"]) == {2181: "127.0.0.1:2181"}
    kafka = found["kafka"]
    assert re.fullmatch(r"apache/kafka:3\.\d+\.\d+", kafka["image"])
    assert kafka["depends_on"] == {"zookeeper": {"condition": "service_healthy"}}
    given = dict(each.split("=", 1) for each in kafka["command"] if "=" in each)
    assert given["zookeeper.connect"] == "zookeeper:2181"
    assert given["advertised.listeners"] == _kafka("ADVERTISED_LISTENERS")
    assert mounts(kafka) == {given["log.dirs"]: "kafka-zookeeper"}
    assert published(kafka) == published(services()["kafka"])
