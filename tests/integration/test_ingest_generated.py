"""Whatever bytes come, each message is one row: an execution with its params, or a dead letter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.event import decode_event
from jobu_core.models import Rejection
from jobu_core.store.dead_letters import list_dead_letters
from jobu_core.store.engine import transaction
from jobu_core.store.executions import list_executions
from tests.fix_events import TOPIC, Events
from tests.unit.test_event import REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXT = st.text(st.characters(codec=None), max_size=20)
_NUMBERS = st.integers() | st.floats() | st.integers(10**18, 10**40)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_LIKE_EVENTS = st.fixed_dictionaries(
    {"handler_name": st.sampled_from(["echo", "other", "nobody"]) | _JSON},
    optional={
        "params": st.dictionaries(_TEXT, _JSON, max_size=3) | _JSON,
        "job_id": st.none() | st.integers() | _JSON,
        "extra": _JSON,
    },
)


def _written(document: object) -> bytes:
    """Write JSON as Python would, lone surrogates and NaN included."""
    return json.dumps(document).encode()


def _damaged(value: bytes, at: int, byte: int) -> bytes:
    """Change one byte."""
    place = at % (len(value) + 1)
    return value[:place] + bytes([byte]) + value[place + 1 :]


_VALUES = (
    st.none()
    | st.binary(max_size=60)
    | _LIKE_EVENTS.map(_written)
    | _JSON.map(_written)
    | st.builds(_damaged, _LIKE_EVENTS.map(_written), st.integers(0, 500), st.integers(0, 255))
    | st.sampled_from([value for value, _ in REFUSED.values() if value is None or len(value) < 999])
)
_HEADERS = st.lists(st.tuples(_TEXT, st.none() | st.binary(max_size=10)), max_size=3).map(tuple)
_MESSAGES = st.lists(
    st.builds(
        OutgoingMessage,
        _VALUES,
        key=st.none() | st.binary(max_size=20),
        headers=_HEADERS,
        partition=st.sampled_from([0, 1]),
    ),
    min_size=1,
    max_size=12,
)


def same(stored: object, sent: object) -> bool:
    """Compare what jsonb gives back: it keeps the digits of a number, not whether it is whole."""
    if isinstance(sent, dict) and isinstance(stored, dict):
        keys = stored.keys() == sent.keys()
        return keys and all(same(stored[key], value) for key, value in sent.items())
    if isinstance(sent, list) and isinstance(stored, list):
        return len(stored) == len(sent) and all(map(same, stored, sent))
    if isinstance(sent, float) and isinstance(stored, int | float):
        return float(stored) == sent
    return type(stored) is type(sent) and stored == sent


def rows_after(events: Events, before: int) -> tuple[Mapping[tuple[int, int], Any], int]:
    """Return params or bytes by (partition, offset) of all rows, and how many are new."""
    with transaction(events.engine) as connection:
        made: dict[tuple[int, int], Any] = {
            (row.kafka_partition or 0, row.kafka_offset or 0): row
            for row in list_executions(connection, limit=100_000)
        }
        for letter in list_dead_letters(connection, limit=100_000):
            at = letter.coordinates
            assert (at.partition, at.offset) not in made
            made[at.partition, at.offset] = letter
    return made, len(made) - before


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(messages=_MESSAGES)
def test_each_message_is_one_row_whatever_it_holds(
    events: Events, messages: Sequence[OutgoingMessage]
) -> None:
    """Bytes, JSON, damaged events, odd headers and keys: no tick fails, nothing is missing."""
    before, _ = rows_after(events, 0)
    placed = events.adapter().publish(TOPIC, messages)
    tick = events.tick()
    assert tick.consumed == len(messages)
    made, new = rows_after(events, len(before))
    assert new == len(messages)
    for place, message in zip(placed, messages, strict=True):
        row = made[place]
        wanted = decode_event(message.value, max_bytes=1_048_576)
        if isinstance(wanted, Rejection):
            assert (row.code, row.value, row.key) == (wanted.code, message.value, message.key)
        elif hasattr(row, "code"):
            assert row.code in {"handler_unknown", "job_unknown"}
            assert row.value == message.value
        else:
            assert (row.handler_name, row.message_key) == (wanted.handler_name, message.key)
            assert same(dict(row.params), dict(wanted.params))


def test_the_whole_corpus_in_one_batch(events: Events) -> None:
    """Every payload of the list that beats naive code, good ones between them, in one tick."""
    good = [_written({"handler_name": "echo", "params": {"n": number}}) for number in range(20)]
    bad = [value for value, _ in REFUSED.values()]
    events.send(*good, *bad, *good)
    tick = events.tick()
    assert tick.consumed == len(bad) + 2 * len(good)
    assert events.codes() == [code for _, code in REFUSED.values()]
    assert len(events.executions()) == 2 * len(good)
    assert [letter.value for letter in events.letters()] == bad


@pytest.mark.parametrize("number", [1e308, -1e308, 5e-324, 1e23, 0.1, -0.0, 2.5, 10**400])
def test_a_number_survives_the_store(events: Events, number: float) -> None:
    """The store keeps digits, not bits: the value is the same, its kind may not be."""
    events.send(_written({"handler_name": "echo", "params": {"x": number}}))
    events.tick()
    (params,) = events.params()
    assert same(params["x"], number)


def test_bytes_are_kept_through_a_dump_of_the_table(events: Events) -> None:
    """All 256 bytes, as key, value and header, are what a person gets back."""
    every = bytes(range(256))
    message = OutgoingMessage(every, key=every, headers=(("h", every),), partition=0)
    events.adapter().publish(TOPIC, [message])
    events.tick()
    with transaction(events.engine) as connection:
        value, key = connection.execute(sa.text("SELECT value, key FROM dead_letters")).one()
    (letter,) = events.letters()
    assert (bytes(value), bytes(key), letter.headers) == (every, every, (("h", every),))
