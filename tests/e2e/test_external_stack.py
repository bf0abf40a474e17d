"""Services given by configuration only: jobu runs Dagster and a worker, nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jobu_core.config import Settings, load_settings
from jobu_core.services import orphans, stack
from jobu_core.services.endpoints import endpoints
from jobu_core.services.layout import layout_of
from jobu_core.services.probes import broker_answers
from tests.fix_kafka import KafkaServer, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(400), pytest.mark.kafka]


@pytest.fixture
def external(
    project: Path,
    real_kafka: KafkaServer,
    runtime_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """Point the project to the tests' own PostgreSQL, Valkey and a real Apache Kafka."""
    del project, runtime_folder
    topic = f"external-{free_port()}"
    real_kafka.create_topic(topic)
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", real_kafka.bootstrap)
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_TOPIC", topic)
    monkeypatch.setenv("JOBU_ADMIN__DAGSTER_PORT", str(free_port()))
    settings = load_settings()
    yield settings
    stack.down(settings, lambda _: None)


def test_the_same_demo_runs_on_services_given_by_configuration(external: Settings) -> None:
    """Real Kafka, external PostgreSQL and Valkey: same outcome, and they outlive `down`."""
    subprocess.run([sys.executable, "-m", "jobu_admin.demo"], check=True, timeout=300)

    told = json.loads((external.state_dir / "demo.json").read_text())
    for name in ("cron", "event", "pipeline_event"):
        assert (told[name]["status"], told[name]["rows"]) == ("SUCCESS", 100)
    states = {each.program: each.state for each in stack.status(external)}
    assert states == dict.fromkeys(("worker", "code-server", "daemon", "webserver"), "RUNNING")
    assert not (external.state_dir / "pg").exists()

    said: list[str] = []
    stack.down(external, said.append)
    assert said == ["jobu: stopped code-server, daemon, webserver, worker"]
    assert orphans.stack_processes(layout_of(external)) == []
    broker_answers(endpoints(external).broker_url)
