"""Client settings: what jobu decides cannot be changed, and no value is repeated."""

from __future__ import annotations

import pytest

from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.errors import ConfigError

_SECRET = "hunter2"  # noqa: S105 - stands for one


def _open(**client: object) -> None:
    named = {name.replace("_", "."): value for name, value in client.items()}
    with KafkaAdapter("127.0.0.1:1", "t", "g", named):
        pass


@pytest.mark.parametrize(
    "name",
    ["enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "group.id", "error_cb"],
)
def test_a_setting_that_correctness_depends_on_is_refused(name: str) -> None:
    """By name, without its value."""
    with pytest.raises(ConfigError, match=name) as caught:
        KafkaAdapter("127.0.0.1:1", "t", "g", {name: _SECRET})
    assert _SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["security_protocol", "sasl_nonsense", "sasl_mechanism"])
def test_a_setting_that_the_client_refuses_never_shows_its_value(name: str) -> None:
    """The client's own text would repeat it, also as the exception's cause."""
    with pytest.raises(ConfigError, match=r"kafka\.client") as caught:
        _open(**{"security_protocol": "sasl_plaintext", name: _SECRET})
    assert _SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_ordinary_setting_is_passed_on() -> None:
    """Tuning is the operator's."""
    _open(client_id="mine", fetch_min_bytes=1)
