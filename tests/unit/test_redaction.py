"""What is configured as a secret is taken out of every text; what looks like one, too."""

from __future__ import annotations

import io
import logging
import time
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from jobu_core.config import DatabaseSettings, KafkaSettings, Settings, WorkerSettings
from jobu_core.config.secrets import redactor_of
from jobu_core.log import configure_logging
from jobu_core.redaction import Redactor, redact

CANARY = "canary-9f8e7d"
PEM = f"-----BEGIN PRIVATE KEY-----\n{'A' * 20}{CANARY}\n-----END PRIVATE KEY-----"


def settings(**parts: Any) -> Settings:  # noqa: ANN401 - sections of settings
    """Return settings with the given sections."""
    return Settings(root=Path("/project"), **parts)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{CANARY}@h/d",
        f"postgresql://u@h/d?password={CANARY}&connect_timeout=3",
        f"postgresql://u@h/d?sslpassword={CANARY}",
        f"postgresql//u:{CANARY}@h/d",
        f"host=h user=u password={CANARY}",
    ],
)
def test_a_password_of_a_database_is_known_wherever_it_stands_in_the_url(url: str) -> None:
    """Also in a URL that nobody can use: that is when it is quoted in an error."""
    redacted = redactor_of(settings(databases={"default": DatabaseSettings(url=url)}))
    assert CANARY not in redacted(f"could not use [{CANARY}] here")
    assert CANARY not in redacted(f"could not parse {url!r}")


def test_a_password_is_known_encoded_and_plain() -> None:
    """A URL holds it percent-encoded, a driver's error may hold it decoded."""
    url = "postgresql://u:tiger%2Fp%40w@h/d"
    redacted = redactor_of(settings(databases={"default": DatabaseSettings(url=url)}))
    assert redacted("tried tiger/p@w and tiger%2Fp%40w") == "tried *** and ***"


def test_the_brokers_password_is_known() -> None:
    """Valkey's URL has a password and no user."""
    redacted = redactor_of(settings(worker=WorkerSettings(broker_url=f"redis://:{CANARY}@h/0")))
    assert redacted(CANARY) == "***"


@pytest.mark.parametrize(
    "name",
    [
        *("sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem"),
        *("sasl.oauthbearer.client.secret", "sasl.oauthbearer.config"),
    ],
)
def test_the_kafka_clients_secrets_are_known(name: str) -> None:
    """Every property of librdkafka that holds a secret."""
    redacted = redactor_of(settings(kafka=KafkaSettings(client={name: CANARY})))
    assert redacted(CANARY) == "***"


def test_a_key_is_known_line_by_line() -> None:
    """Output is logged line by line, so that no text ever holds the whole key."""
    redacted = redactor_of(settings(kafka=KafkaSettings(client={"ssl.key.pem": PEM})))
    assert all(CANARY not in redacted(line) for line in PEM.splitlines())


def test_words_that_logs_need_are_not_taken_for_secrets() -> None:
    """The compose stack's password is `jobu`; names and settings that are no secret stay."""
    redacted = redactor_of(
        settings(
            databases={"default": DatabaseSettings(url="postgresql://jobu:jobu@localhost/jobu")},
            kafka=KafkaSettings(client={"security.protocol": "SASL_SSL"}),
        ),
    )
    assert (
        redacted("jobu worker on localhost by SASL_SSL") == "jobu worker on localhost by SASL_SSL"
    )


@given(st.text(max_size=200), st.lists(st.text(min_size=6, max_size=20), max_size=4))
def test_no_secret_survives(message: str, secrets: list[str]) -> None:
    """Whatever the text and the secrets; replacing one must not bring out another."""
    longest_first = tuple(sorted(secrets, key=len, reverse=True))
    redacted = Redactor(longest_first)("".join([message, *secrets]))
    assert all(secret not in redacted or set(secret) <= {"*"} for secret in longest_first)


def test_patterns_find_what_is_not_configured() -> None:
    """A URL from elsewhere, a keyword connection string, a query."""
    assert redact("redis://:abc@h") == "redis://:***@h"
    assert redact("x?sslpassword=abc&y=1") == "x?sslpassword=***&y=1"


def fail() -> None:
    """Raise an error whose cause holds a secret."""
    try:
        int(f"postgresql://u:{CANARY}@h")
    except ValueError as cause:
        raise RuntimeError("no") from cause


@pytest.mark.parametrize(
    "piece",
    [
        "x",
        "Key (",
        "Key (a)=(",
        "Failing row contains (",
        "://",
        "://a:",
        "password='",
        "password ",
    ],
)
def test_a_hostile_text_costs_no_more_than_its_length(piece: str) -> None:
    """A regular expression that goes back and forth would hold the worker for minutes."""
    before = time.process_time()
    redact(piece * (1_000_000 // len(piece)))
    assert time.process_time() - before < 5


def test_a_row_that_was_cut_off_is_hidden_to_the_end() -> None:
    """Without its closing bracket nothing says where the values end."""
    assert redact("Failing row contains (1, secret") == "Failing row is not shown."


def test_a_log_line_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a value nor in a traceback with its causes."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure_logging(logging.INFO, Redactor((CANARY,)))
    try:
        fail()
    except RuntimeError:
        structlog.get_logger().exception("failed", url=f"redis://:{CANARY}@h")
    assert "RuntimeError" in written.getvalue()
    assert CANARY not in written.getvalue()
