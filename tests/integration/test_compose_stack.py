"""The compose stack on the host: who answers, what is waited for, what a person is told."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from jobu_admin.cli import build_app
from jobu_core.config import Settings, load_settings
from jobu_core.errors import ServiceError
from jobu_core.services import compose, parts, stack, worker_health
from jobu_core.services.compose import UP, require, services
from jobu_core.services.doctor import examine
from jobu_core.services.layout import layout_of
from jobu_core.services.orphans import stack_processes
from jobu_core.services.ports import Address
from jobu_core.store import workers
from jobu_core.store.engine import transaction
from tests.fix_kafka import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

NEEDED = ("postgres", "valkey", "kafka")


@pytest.fixture
def answering(project: Path, mock_kafka: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings of the compose stack whose services all run; MySQL is not asked for."""
    del project
    monkeypatch.setenv("JOBU_STACK", "compose")
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", mock_kafka)
    return load_settings()


@pytest.fixture
def silent(project: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings of the compose stack before anything was started."""
    del project
    monkeypatch.setattr(compose, "_WAIT_SECONDS", 0.0)
    closed = free_port()
    monkeypatch.setenv("JOBU_STACK", "compose")
    monkeypatch.setenv("JOBU_DATABASE_URL", f"postgresql://jobu:hush@127.0.0.1:{closed}/jobu")
    monkeypatch.setenv("JOBU_BROKER_URL", f"redis://127.0.0.1:{closed}/0")
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{closed}")
    return load_settings()


def test_services_that_answer_are_not_waited_for(answering: Settings) -> None:
    """Nothing is said, nothing is raised."""
    said: list[str] = []
    require(answering, NEEDED, said.append)
    assert said == []


@pytest.mark.parametrize("name", NEEDED)
def test_a_service_that_does_not_come_is_named_with_its_command(
    silent: Settings,
    name: str,
) -> None:
    """Said at once, raised in the end; a password is not repeated."""
    said: list[str] = []
    with pytest.raises(ServiceError) as caught:
        require(silent, [name], said.append)
    (title,) = (each.title for each in services(silent) if each.name == name)
    for text in (*said, str(caught.value)):
        assert title in text
        assert UP in text
        assert "hush" not in text
    assert len(said) == 1


def test_a_service_that_is_starting_is_waited_for(
    answering: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`docker compose up -d` returns before its services answer; jobu goes on when they do."""
    looks = iter([ServiceError("not yet"), ServiceError("not yet"), None])

    def ask(_url: str) -> None:
        error = next(looks)
        if error is not None:
            raise error

    monkeypatch.setattr(compose, "broker_answers", ask)
    said: list[str] = []
    require(answering, ["valkey"], said.append)
    assert len(said) == 1
    assert "waiting for Valkey" in said[0]
    assert next(looks, "all asked") == "all asked"


def test_up_starts_nothing_before_its_services_answer(silent: Settings) -> None:
    """One line of what is missing, exit code 1, no process, no folder."""
    done = CliRunner().invoke(build_app(), ["up"])
    assert isinstance(done.exception, ServiceError)
    assert UP in str(done.exception)
    assert not silent.state_dir.exists()
    assert stack_processes(layout_of(silent)) == []


def test_main_py_waits_for_what_its_parts_use(
    silent: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker alone reads no events and needs no Kafka; every dispatcher does."""
    asked: list[set[str]] = []

    class _EnoughError(Exception):
        pass

    def note(_settings: Settings, names: set[str], _say: object) -> None:
        asked.append(names)
        raise _EnoughError

    monkeypatch.setattr(parts, "require_services", note)
    for names in (["worker"], ["queue_dispatcher", "worker"], ["dispatcher"]):
        with pytest.raises(_EnoughError):
            parts.run_parts(silent, names)
    assert asked == [{"postgres", "valkey"}, set(NEEDED), set(NEEDED)]


def test_other_stacks_ask_for_no_container(
    silent: Settings,
) -> None:
    """Outages of external services are waited out by the processes themselves."""
    said: list[str] = []
    for other in ("external", "embedded"):
        settings = silent.model_copy(update={"stack": other})
        stack.require_services(settings, set(NEEDED), said.append)
    assert said == []


def test_status_lists_every_service_of_the_compose_file(
    answering: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With its address and whether it answers, beside jobu's own programs."""
    monkeypatch.setattr(compose, "COMPOSE_MYSQL", Address("127.0.0.1", free_port()))
    found = {each.program: each for each in stack.status(answering)}
    assert {name: found[f"{name} (compose)"].state for name in (*NEEDED, "mysql")} == {
        **dict.fromkeys(NEEDED, "ANSWERS"),
        "mysql": "NO ANSWER",
    }
    assert found["worker"].state == "STOPPED"
    assert found["kafka (compose)"].address == answering.queue_dispatcher.kafka_bootstrap_servers


def test_doctor_says_how_the_services_are_started(silent: Settings) -> None:
    """Not `jobu up`, which starts no containers."""
    advice = {each.check: each.advice for each in examine(silent) if not each.ok}
    assert {advice["broker"], advice["job store"]} == {f"start it: `{UP}`"}


@pytest.fixture
def greeter() -> Iterator[tuple[Address, list[bytes]]]:
    """Listen on a port and greet whoever comes with the first of the given texts."""
    greetings: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while greetings:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(greetings.pop(0))

        address = Address("127.0.0.1", listener.getsockname()[1])
        thread = threading.Thread(target=serve, daemon=True)
        greetings += [b"\x4a\x00\x00\x00\x0a8.4.6\x00", b"SSH-2.0-x\r\n", b"\x4a"]
        thread.start()
        yield address, greetings
        thread.join(5)


def test_mysql_answers_when_it_greets(
    answering: Settings,
    greeter: tuple[Address, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another program on the port, or a server that is going down, is no MySQL."""
    address, _ = greeter
    monkeypatch.setattr(compose, "COMPOSE_MYSQL", address)
    (mysql,) = (each for each in services(answering) if each.name == "mysql")
    assert [mysql.answers() for _ in range(3)] == [True, False, False]


def test_a_worker_is_healthy_while_it_beats_on_this_host(
    project: Path,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The container's own host name tells it from other workers; a stale heartbeat is none."""
    del project
    monkeypatch.setattr(socket, "gethostname", lambda: "container-1")
    _beat(engine, "container-2")
    assert worker_health.main() == 1
    assert "no worker of container-1" in capsys.readouterr().err
    _beat(engine, "container-1")
    assert worker_health.main() == 0
    with transaction(engine) as connection:
        connection.exec_driver_sql("UPDATE workers SET heartbeat_at = now() - interval '31 s'")
    assert worker_health.main() == 1


def test_a_worker_without_a_job_store_is_not_healthy(
    silent: Settings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, no traceback, no password."""
    del silent
    assert worker_health.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("jobu: ")
    assert "hush" not in said


def _beat(engine: Engine, host: str) -> None:
    with transaction(engine) as connection:
        workers.beat(
            connection,
            worker_id=f"{host}:1",
            host=host,
            main_pid=1,
            slots=2,
            code_version="v",
            draining=False,
        )
