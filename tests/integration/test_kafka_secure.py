"""kafka.client reaches the client: TLS and passwords against a real broker, and no secret leaks."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

import pytest

from jobu_core.config import KafkaSettings
from jobu_core.dispatcher.queue.adapter import kafka
from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.adapter.reader import make_dead_letter_reader, make_reader
from jobu_core.dispatcher.queue.ingest import Ingest
from jobu_core.errors import ConfigError, QueueUnavailable
from tests.fix_events import Events, event
from tests.fix_kafka import make_certificate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jobu_core.config import Settings
    from tests.fix_kafka import KafkaServer, SecureListener

pytestmark = pytest.mark.kafka


@pytest.fixture
def secure(real_kafka: KafkaServer) -> SecureListener:
    """Return the listener that wants TLS and a password."""
    return real_kafka.secure


@pytest.fixture
def topic(real_kafka: KafkaServer) -> str:
    """Make a fresh topic, and one for its dead letters."""
    name = f"secure-{uuid.uuid4().hex[:8]}"
    real_kafka.create_topic(name)
    real_kafka.create_topic(f"{name}-dead", 1)
    return name


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a request that gets no answer end soon."""
    monkeypatch.setattr(kafka, "_REQUEST_SECONDS", 1.5)


def settings_of(
    events: Events,
    topic: str,
    client: Mapping[str, str],
    **queue: object,
) -> Settings:
    """Return what the configuration files would say."""
    settings = events.configured(kafka_topic=topic, **queue).settings
    return settings.model_copy(update={"kafka": KafkaSettings(client=dict(client))})


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.parametrize("mode", ["assign", "group"])
def test_events_are_read_over_sasl_ssl(
    events: Events,
    secure: SecureListener,
    topic: str,
    mechanism: str,
    mode: str,
) -> None:
    """Consumer, producer and administrator all take the settings: read, commit, mirror."""
    settings = settings_of(
        events,
        topic,
        secure.client(mechanism),
        mode=mode,
        kafka_group_id=f"group-{topic}",
        dead_letter_topic=f"{topic}-dead",
    )
    with make_reader(settings, secure.bootstrap) as sender:
        sender.publish(topic, [OutgoingMessage(event()), OutgoingMessage(b"bad")])
    adapter = make_reader(settings, secure.bootstrap)
    with Ingest(events.engine, events.catalog, settings, adapter) as ingest:
        for _ in range(20):
            ingest.tick(1.0)
            if len(adapter.committed()) and events.ledger() == 2:
                break
        assert sum(adapter.committed().values()) == 2
    assert (len(events.executions()), events.codes()) == (1, ["not_json"])
    with make_dead_letter_reader(settings, secure.bootstrap) as reader:
        assert reader.watermarks(0).high == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_an_outage_that_does_not_repeat_it(
    events: Events,
    secure: SecureListener,
    topic: str,
    mechanism: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A password may be set right without a restart of the broker; it is not shown meanwhile."""
    client = secure.client(mechanism) | {"sasl.password": "canary-of-the-password"}
    settings = settings_of(events, topic, client)
    with caplog.at_level(logging.DEBUG):
        adapter = make_reader(settings, secure.bootstrap)
        with (
            Ingest(events.engine, events.catalog, settings, adapter) as ingest,
            pytest.raises(QueueUnavailable) as refused,
        ):
            ingest.tick(1.0)
    assert "canary" not in caplog.text + str(refused.value) + repr(settings)
    assert "uthentication" in caplog.text  # the log says what the answer was
    assert events.positions() == {}


@pytest.mark.usefixtures("impatient")
def test_a_broker_with_another_certificate_is_not_spoken_to(
    events: Events,
    secure: SecureListener,
    topic: str,
    tmp_path: Path,
) -> None:
    """The password goes only to the broker that the given authority vouches for."""
    client = secure.client() | {"ssl.ca.location": str(make_certificate(tmp_path))}
    settings = settings_of(events, topic, client)
    adapter = make_reader(settings, secure.bootstrap)
    with (
        Ingest(events.engine, events.catalog, settings, adapter) as ingest,
        pytest.raises(QueueUnavailable),
    ):
        ingest.tick(1.0)


@pytest.mark.usefixtures("impatient")
def test_a_plain_client_is_refused_by_the_secure_listener(
    events: Events, secure: SecureListener, topic: str
) -> None:
    """Without the settings nothing is read: the test above proves what it says."""
    settings = settings_of(events, topic, {})
    with (
        Ingest(
            events.engine, events.catalog, settings, make_reader(settings, secure.bootstrap)
        ) as ingest,
        pytest.raises(QueueUnavailable),
    ):
        ingest.tick(1.0)


def test_a_missing_authority_is_a_setting_to_correct(
    events: Events, secure: SecureListener, topic: str
) -> None:
    """It is named as in the configuration, and nobody waits for it to get better."""
    client = secure.client() | {"ssl.ca.location": "/nowhere/ca.pem"}
    settings = settings_of(events, topic, client)
    adapter = make_reader(settings, secure.bootstrap)
    with pytest.raises(ConfigError, match=r"kafka\.client\.ssl\.ca\.location"):
        adapter.open()
