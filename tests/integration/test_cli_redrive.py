"""``jobu dead-letters redrive`` for many: by code, and from the dead letter topic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from jobu_admin.cli import build_app
from jobu_core.dispatcher.queue.adapter.reader import make_reader
from jobu_core.dispatcher.queue.ingest import Ingest
from jobu_core.errors import ConfigError
from jobu_core.services.runtime import open_runtime

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

_SECTION = "JOBU_QUEUE_DISPATCHER__"


@pytest.fixture(autouse=True)
def _broker(project: Path, mock_kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the project at a broker of this test, with a topic for dead letters."""
    assert project.is_dir()
    monkeypatch.setenv(f"{_SECTION}KAFKA_BOOTSTRAP_SERVERS", mock_kafka)
    monkeypatch.setenv(f"{_SECTION}DEAD_LETTER_TOPIC", "dead-letters")


def run(*arguments: str, text: str | None = None) -> Result:
    """Run ``jobu`` in this process."""
    return CliRunner().invoke(build_app(), list(arguments), input=text)


def printed(*arguments: str) -> list[dict[str, Any]]:
    """Run ``jobu … --json`` and return its rows, whatever the exit code."""
    rows: list[dict[str, Any]] = json.loads(run(*arguments, "--json").stdout)
    return rows


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read two messages too long for the configuration, which is then corrected, and garbage."""
    lines = '{"handler_name": "sample_handler", "params": {"n": 1}}\n'
    lines += lines.replace("1", "2") + "[]\n"
    assert run("events", "send", "--raw", "--file", "-", text=lines).exit_code == 0
    with monkeypatch.context() as patch:
        patch.setenv(f"{_SECTION}MAX_MESSAGE_BYTES", "20")
        with open_runtime(application_name="test") as runtime:
            adapter = make_reader(runtime.settings, runtime.endpoints.kafka_bootstrap)
            with Ingest(runtime.engine, runtime.registry, runtime.settings, adapter) as ingest:
                assert ingest.tick(10).dead == 3
    assert len(printed("dead-letters", "list")) == 3


@pytest.mark.usefixtures("refused")
def test_all_with_a_code_are_redriven() -> None:
    """What is fixed by then becomes executions; the rest is not touched."""
    rows = printed("dead-letters", "redrive", "--code", "too_large")
    assert [row["outcome"] for row in rows] == ["redriven", "redriven"]
    assert run("dead-letters", "redrive", "--code", "too_large").stdout == "nothing to redrive\n"
    (left,) = printed("dead-letters", "list", "--status", "open")
    assert left["value"] == "[]"
    assert left["mirror_topic"] == "dead-letters"
    assert left["mirrored_at"]


@pytest.mark.usefixtures("refused")
def test_copies_of_the_topic_are_redriven_once() -> None:
    """The same again changes nothing; one that is still refused makes the command fail."""
    first = printed("dead-letters", "redrive", "--from-topic")
    assert sorted(row["outcome"] for row in first) == ["redriven", "redriven", "refused"]
    again = printed("dead-letters", "redrive", "--from-topic")
    assert sorted(again, key=str) == sorted(first, key=str)
    assert len(printed("executions", "list")) == 2
    assert run("dead-letters", "redrive", "--from-topic").exit_code == 1
    assert run("dead-letters", "redrive", "--from-topic", "--code", "too_large").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("abc", "--code", "x"),
        ("abc", "--from-topic"),
        ("--code", "x", "--payload", "file"),
    ],
    ids=" ".join,
)
def test_it_is_not_guessed_which_were_meant(arguments: tuple[str, ...]) -> None:
    """One by its ID, or many by an option."""
    assert run("dead-letters", "redrive", *arguments).exit_code == 2


def test_without_a_dead_letter_topic_there_are_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting is named."""
    monkeypatch.delenv(f"{_SECTION}DEAD_LETTER_TOPIC")
    result = run("dead-letters", "redrive", "--from-topic")
    assert isinstance(result.exception, ConfigError)
    assert "queue_dispatcher.dead_letter_topic" in str(result.exception)


@pytest.mark.parametrize(
    ("name", "value"),
    [("DEAD_LETTER_TOPIC", "jobu-events"), ("KAFKA_TOPIC", "no topic"), ("MODE", "both")],
)
def test_settings_that_cannot_work_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A dead letter topic that is read feeds itself; a topic's name is checked at once."""
    monkeypatch.setenv(f"{_SECTION}{name}", value)
    assert isinstance(run("dead-letters", "list").exception, ConfigError)
