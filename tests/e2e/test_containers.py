"""What docker/ describes, run as plain processes: the commands, variables and checks are true."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from jobu_admin.demo import KNOWN_MESSAGE
from jobu_core.services.waiting import wait_until
from jobu_core.store import workers
from jobu_core.store.engine import transaction
from jobu_core.store.executions import list_executions
from tests.fix_kafka import free_port

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from jobu_core.models import Execution
    from tests.containers import Containers
    from tests.fix_containers import ComposeKafka

pytestmark = [pytest.mark.timeout(400), pytest.mark.kafka]

MEET = '''
"""A handler that ends well only while another of its kind is executed beside it."""

import time

from pydantic import BaseModel

from jobu_core.handlers.base import handler


class Meet(BaseModel):
    me: str
    other: str


@handler("meet")
def meet(context, params: Meet):
    context.paths.resolve(f"/data/{params.me}").touch()
    deadline = time.monotonic() + 100
    while not context.paths.resolve(f"/data/{params.other}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return {"met": params.other}
'''
OURS = {"worker-1", "worker-2", "queue-dispatcher"}
"""Those that have rows to give back. Dagster's servers hold nothing: one that is killed because
it took too long costs a tick."""
TOPIC = "jobu-events"
"""The topic of config/queue.yaml; like the other it is made by the first message."""


def _send(kcat: str, address: str, *events: bytes, topic: str = TOPIC) -> None:
    command = [kcat, "-P", "-b", address, "-t", topic]
    subprocess.run(command, input=b"\n".join(events), check=True, timeout=60)


def _meeting(me: str, other: str) -> bytes:
    event = {"handler_name": "meet", "params": {"me": me, "other": other}}
    return json.dumps(event).encode()


def _all_succeed(engine: Engine, count: int, seconds: float = 120) -> list[Execution]:
    found: list[Execution] = []

    def ended() -> bool:
        with transaction(engine) as connection:
            found[:] = list_executions(connection, limit=50)
        return len(found) == count and all(each.status == "SUCCESS" for each in found)

    wait_until(ended, seconds=seconds, poll_seconds=0.5)
    assert [(each.handler_name, each.status) for each in found if each.status != "SUCCESS"] == []
    assert len(found) == count
    return found


@pytest.fixture
def app(containers: Containers) -> Containers:
    """Start what `--profile app` starts, two workers of one slot, in compose's order."""
    (containers.root / "my_jobs.py").write_text(MEET, encoding="utf-8")
    config = containers.root / "config" / "handlers.yaml"
    config.write_text("handlers:\n  modules: [my_jobs]\n", encoding="utf-8")
    containers.run("migrate")
    containers.start("code-server")
    for name in ("worker-1", "worker-2"):
        containers.start("worker", name, JOBU_WORKER__SLOTS="1")
    for name in ("worker-1", "worker-2", "code-server"):
        containers.wait_healthy(name)
    containers.start("daemon")
    containers.start("webserver")
    containers.wait_healthy("webserver")
    containers.wait_healthy("daemon")
    return containers


def test_the_containers_together_are_jobu(
    app: Containers,
    engine: Engine,
    compose_kafka: ComposeKafka,
    kcat: str,
) -> None:
    """Events in by the host's port, work shared by two workers, files under /data, all end."""
    _send(kcat, compose_kafka.host, _meeting("a", "b"), _meeting("b", "a"))
    met = _all_succeed(engine, 2)
    assert len({each.worker_id for each in met}) == 2, "both workers at the same time"

    app.start("queue-dispatcher")
    _send(kcat, compose_kafka.host, KNOWN_MESSAGE)
    (known,) = (each for each in _all_succeed(engine, 3) if each not in met)
    assert known.result is not None
    assert (app.root / "data" / "processed").is_dir()

    codes = app.stop()
    assert set(codes) > OURS
    killed = [app.log(name) for name in OURS if codes[name] not in {0, -signal.SIGTERM}]
    assert not killed, "some did not end in their grace period"
    with transaction(engine) as connection:
        assert workers.list_workers(connection) == [], "the workers took their leave"


def test_main_py_on_the_host_uses_the_services(
    containers: Containers,
    engine: Engine,
    compose_kafka: ComposeKafka,
    kcat: str,
) -> None:
    """`docker compose up -d`, then `main.py queue_dispatcher worker`: an event is executed."""
    root = containers.root
    environment = {
        **os.environ,
        "JOBU_ROOT": str(root),
        "JOBU_STACK": "compose",
        "JOBU_DATABASE_URL": containers.addresses["postgresql://jobu:jobu@postgres:5432/jobu"],
        "JOBU_BROKER_URL": containers.addresses["redis://valkey:6379/0"],
        "JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS": compose_kafka.host,
        "JOBU_QUEUE_DISPATCHER__KAFKA_TOPIC": "host-events",
        "JOBU_ADMIN__DAGSTER_PORT": str(free_port()),
    }
    command = [sys.executable, str(root / "main.py"), "queue_dispatcher", "worker"]
    log = root / "main.log"
    with log.open("wb") as output:
        main = psutil.Popen(command, cwd=root, env=environment, stdout=output, stderr=output)
    try:
        event = b'{"handler_name": "sample_handler", "params": {"n": 1}}'
        _send(kcat, compose_kafka.host, event, topic="host-events")
        _all_succeed(engine, 1)
        assert _services_of(environment) == {
            "postgres (compose)": "ANSWERS",
            "valkey (compose)": "ANSWERS",
            "kafka (compose)": "ANSWERS",
        }
        children = main.children(recursive=True)
        main.send_signal(signal.SIGINT)
        assert main.wait(10) == 0, log.read_text()
        _, left = psutil.wait_procs(children, timeout=3)
        assert left == []
    finally:
        for each in [*main.children(recursive=True), main] if main.is_running() else []:
            each.kill()


def _services_of(environment: dict[str, str]) -> dict[str, str]:
    """Return what `jobu status` says of the services that this test has started."""
    done = subprocess.run(
        [sys.executable, "-m", "jobu_admin.cli", "status", "--json"],
        check=True,
        capture_output=True,
        env=environment,
        timeout=60,
    )
    listed = {each["program"]: each["state"] for each in json.loads(done.stdout)}
    listed.pop("mysql (compose)")
    return {name: state for name, state in listed.items() if name.endswith("(compose)")}
