"""``jobu events send`` with a whole message as its argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from jobu_admin.cli import build_app
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def broker(project: Path, mock_kafka: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point the project at a broker of this test; returns its address."""
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", mock_kafka)
    assert project.is_dir()
    return mock_kafka


def test_a_whole_message_is_sent_as_it_was_typed(broker: str) -> None:
    """Byte for byte, with its key."""
    text = '{"handler_name": "sample_handler",  "params": {"key": "é"}}'
    sent = CliRunner().invoke(build_app(), ["events", "send", text, "--key", "k"])
    assert sent.exit_code == 0, sent.output
    with KafkaAdapter(broker, "jobu-events", "reader") as adapter:
        adapter.seek(dict.fromkeys(adapter.partitions(), 0))
        (message,) = adapter.fetch(1, 10)
    assert (message.value, message.key) == (text.encode(), b"k")


def test_a_whole_message_is_checked(broker: str) -> None:
    """A typo is found before anything is sent."""
    result = CliRunner().invoke(build_app(), ["events", "send", '{"handler": "x"}'])
    assert isinstance(result.exception, InvalidInput)
    assert "unknown_key" in str(result.exception)
    with KafkaAdapter(broker, "jobu-events", "reader") as adapter:
        assert adapter.partitions() == ()


def test_a_whole_message_takes_no_params_beside_it(broker: str) -> None:
    """It is not guessed which of the two was meant."""
    assert broker
    arguments = ["events", "send", '{"handler_name": "x"}', "--job-id", "1"]
    assert CliRunner().invoke(build_app(), arguments).exit_code == 2
