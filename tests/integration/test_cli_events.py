"""The commands for events and dead letters, against a real store and the mock broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from jobu_admin.cli import build_app
from jobu_core.clock import SystemClock
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.dispatcher.queue.ingest import Ingest
from jobu_core.errors import InvalidInput
from jobu_core.services.runtime import open_runtime

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture(autouse=True)
def _broker(project: Path, mock_kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the project at a broker of this test."""
    del project
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", mock_kafka)


def run(*arguments: str, text: str | None = None) -> Result:
    """Run ``jobu`` in this process."""
    return CliRunner().invoke(build_app(), list(arguments), input=text)


def ingest() -> None:
    """Read the topic once."""
    with open_runtime(application_name="test") as runtime:
        queue = runtime.settings.queue_dispatcher
        where = runtime.endpoints.kafka_bootstrap
        adapter = KafkaAdapter(where, queue.kafka_topic, queue.kafka_group_id)
        settings, clock = runtime.settings, SystemClock()
        with Ingest(runtime.engine, runtime.registry, settings, adapter, clock) as opened:
            assert opened.tick(10).consumed > 0


def test_sent_event_becomes_an_execution() -> None:
    """``events send HANDLER JSON`` is delivered, with its coordinates printed."""
    sent = run("events", "send", "sample_handler", '{"key": "value"}', "--json")
    assert sent.exit_code == 0, sent.output
    assert json.loads(sent.stdout)[0]["offset"] == 0
    ingest()
    (row,) = json.loads(run("executions", "list", "--json").stdout)
    assert (row["handler_name"], row["params"]) == ("sample_handler", {"key": "value"})


def test_a_bad_line_stops_the_whole_file() -> None:
    """Nothing is sent when one message cannot be decoded; the line is named."""
    text = '{"handler_name": "sample_handler"}\nnot json\n'
    refused = run("events", "send", "--file", "-", text=text)
    assert isinstance(refused.exception, InvalidInput)
    assert "message 2" in str(refused.exception)


def test_dead_letter_is_shown_corrected_and_redriven(tmp_path: Path) -> None:
    """Raw garbage → dead letter with its bytes → redrive with a corrected payload."""
    assert run("events", "send", "--raw", "--file", "-", text="garbage\n").exit_code == 0
    ingest()
    (letter,) = json.loads(run("dead-letters", "list", "--json").stdout)
    assert (letter["value"], letter["status"]) == ("garbage", "open")
    payload = tmp_path / "corrected.json"
    payload.write_text('{"handler_name": "sample_handler", "params": {"n": 1}}')
    begin = letter["id"][:8]
    first = run("dead-letters", "redrive", begin, "--payload", str(payload), "--json")
    assert first.exit_code == 0, first.output
    again = run("dead-letters", "redrive", begin, "--payload", str(payload), "--json")
    assert json.loads(again.stdout) == json.loads(first.stdout)
    shown = json.loads(run("dead-letters", "show", begin, "--json").stdout)
    assert shown["status"] == "redriven"


def test_discarded_letter_stays_in_the_table() -> None:
    """``discard`` settles it; it is listed with its new status."""
    assert run("events", "send", "--raw", "--file", "-", text="[]\n").exit_code == 0
    ingest()
    (letter,) = json.loads(run("dead-letters", "list", "--json").stdout)
    assert run("dead-letters", "discard", letter["id"]).exit_code == 0
    (after,) = json.loads(run("dead-letters", "list", "--status", "discarded", "--json").stdout)
    assert after["id"] == letter["id"]
