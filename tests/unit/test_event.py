"""Every payload of the list of those that beat naive code has one verdict, always."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobu_core.dispatcher.queue.event import CODES, MAX_DEPTH, decode_event
from jobu_core.models import JobEvent, Rejection, Stage

_LIMIT = 1_048_576


def decode(value: bytes | None) -> JobEvent | Rejection:
    """Decode with the default limit."""
    return decode_event(value, max_bytes=_LIMIT)


def accepted(value: bytes) -> JobEvent:
    """Decode what must be an event."""
    event = decode(value)
    assert isinstance(event, JobEvent), event
    return event


def nested(depth: int) -> bytes:
    """Return an event whose params make ``depth`` levels together with the event."""
    return b'{"handler_name":"h","params":{"a":%s%s}}' % (b"[" * (depth - 2), b"]" * (depth - 2))


def with_params(text: str) -> bytes:
    """Return an event with one param, given as JSON."""
    return b'{"handler_name": "h", "params": {"x": %s}}' % text.encode()


REFUSED = {
    "no value": (None, "tombstone"),
    "empty": (b"", "empty"),
    "spaces": (b" \n\t ", "empty"),
    "only a byte order mark": (b"\xef\xbb\xbf", "empty"),
    "words": (b"hello", "not_json"),
    "half an object": (b'{"handler_name": "h"', "not_json"),
    "two documents": (b'{"handler_name":"h"}{"handler_name":"h"}', "not_json"),
    "single quotes": (b"{'handler_name': 'h'}", "not_json"),
    "raw control character": (b'{"handler_name": "a\x00b"}', "not_json"),
    "latin-1": ('{"handler_name": "é"}'.encode("latin-1"), "not_utf8"),
    "utf-16": ('{"handler_name": "h"}'.encode("utf-16"), "not_utf8"),
    "utf-8 surrogates": (b'{"handler_name": "\xed\xa0\x80"}', "not_utf8"),
    "schema registry frame": (b'\x00\x00\x00\x00\x07{"handler_name": "h"}', "confluent_framing"),
    "too large": (b"x" * (_LIMIT + 1), "too_large"),
    "NaN": (with_params("NaN"), "number_not_finite"),
    "Infinity": (with_params("[-Infinity]"), "number_not_finite"),
    "1e400": (with_params("1e400"), "number_out_of_range"),
    "-1e400": (with_params("-1e400"), "number_out_of_range"),
    "5000 digits": (with_params("9" * 5000), "number_too_long"),
    "100000 brackets": (b"[" * 100_000, "too_deep"),
    "100000 objects": (b'{"a":' * 100_000, "too_deep"),
    "one level too deep": (nested(MAX_DEPTH + 1), "too_deep"),
    "NUL in a value": (with_params(r'"a\u0000b"'), "nul_character"),
    "NUL in a key": (with_params(r'{"\u0000": 1}'), "nul_character"),
    "NUL in the name": (rb'{"handler_name": "a\u0000"}', "nul_character"),
    "lone high surrogate": (with_params(r'"\ud800"'), "lone_surrogate"),
    "lone low surrogate in a key": (with_params(r'[{"\udc00x": 1}]'), "lone_surrogate"),
    "duplicate key": (b'{"handler_name": "a", "handler_name": "b"}', "duplicate_key"),
    "duplicate key deep inside": (with_params('[{"a": 1, "a": 1}]'), "duplicate_key"),
    "array": (b"[]", "not_an_object"),
    "string": (b'"h"', "not_an_object"),
    "null": (b"null", "not_an_object"),
    "number": (b"1", "not_an_object"),
    "unknown key": (b'{"handler_name": "h", "parms": {}}', "unknown_key"),
    "name is a number": (b'{"handler_name": 1}', "handler_name_invalid"),
    "name is empty": (b'{"handler_name": ""}', "handler_name_invalid"),
    "name is long": (b'{"handler_name": "%s"}' % (b"h" * 256), "handler_name_invalid"),
    "neither name nor job": (b"{}", "handler_name_missing"),
    "null name without job": (b'{"handler_name": null, "job_id": null}', "handler_name_missing"),
    "params is a list": (b'{"handler_name": "h", "params": []}', "params_not_object"),
    "params is text": (b'{"handler_name": "h", "params": "{}"}', "params_not_object"),
    "job_id is text": (b'{"job_id": "1"}', "job_id_invalid"),
    "job_id is true": (b'{"job_id": true}', "job_id_invalid"),
    "job_id is 1.0": (b'{"job_id": 1.0}', "job_id_invalid"),
    "job_id is zero": (b'{"job_id": 0}', "job_id_invalid"),
    "job_id is beyond bigint": (b'{"job_id": 9223372036854775808}', "job_id_invalid"),
}


@pytest.mark.parametrize(("value", "code"), REFUSED.values(), ids=REFUSED)
def test_a_bad_payload_is_refused_with_its_code(value: bytes | None, code: str) -> None:
    """The code is stable, the stage is decode, the message can be stored as text."""
    rejection = decode(value)
    assert isinstance(rejection, Rejection)
    assert (rejection.stage, rejection.code) == (Stage.DECODE, code)
    assert rejection.message.startswith(CODES[code])
    assert "\0" not in rejection.message
    assert rejection.message.encode()


def test_every_code_is_reached() -> None:
    """The list of codes holds none that no payload gets."""
    assert {code for _, code in REFUSED.values()} == set(CODES)


def test_a_typo_in_a_key_gets_the_nearest_name() -> None:
    """The sender learns what was probably meant."""
    rejection = decode(b'{"handler_nam": "h"}')
    assert isinstance(rejection, Rejection)
    assert "did you mean 'handler_name'" in rejection.message


def test_the_known_message_is_read() -> None:
    """The message of the documentation, verbatim."""
    event = accepted(
        b'{"handler_name": "pandas_preprocess", "params": {"input_path":'
        b' "/data/raw/sample.csv", "output_path": "/data/processed/sample.parquet"},'
        b' "job_id": null}',
    )
    assert event == JobEvent(
        handler_name="pandas_preprocess",
        params={
            "input_path": "/data/raw/sample.csv",
            "output_path": "/data/processed/sample.parquet",
        },
        job_id=None,
    )


def test_a_byte_order_mark_is_skipped() -> None:
    """Files saved on Windows begin with one."""
    assert accepted(b'\xef\xbb\xbf{"handler_name": "h"}').handler_name == "h"


def test_null_counts_as_absent() -> None:
    """Null params are none; a job_id needs no handler_name."""
    assert accepted(b'{"handler_name": null, "params": null, "job_id": 7}') == JobEvent(
        handler_name=None,
        params={},
        job_id=7,
    )


def test_the_deepest_allowed_event_is_read() -> None:
    """The limit itself is inside."""
    assert accepted(nested(MAX_DEPTH))


def test_surrogate_pairs_and_escapes_are_text() -> None:
    """A pair of escapes is one character; an escaped backslash before u0000 is no NUL."""
    params = accepted(with_params(r'["\ud83d\ude00", "\\u0000"]')).params
    assert params == {"x": ["\U0001f600", "\\u0000"]}


def test_a_value_of_just_the_limit_is_parsed() -> None:
    """The limit counts bytes and is inclusive."""
    value = b'{"handler_name": "h"}'
    assert isinstance(decode_event(value, max_bytes=len(value)), JobEvent)
    assert isinstance(decode_event(value, max_bytes=len(value) - 1), Rejection)


def test_a_long_unknown_key_is_shortened() -> None:
    """A megabyte of key does not become a megabyte of message."""
    rejection = decode(b'{"%s": 1}' % (b"k" * 100_000))
    assert isinstance(rejection, Rejection)
    assert len(rejection.message) < 200


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(value: bytes) -> None:
    """Whatever the bytes, there is a verdict."""
    assert isinstance(decode(value), JobEvent | Rejection)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), _JSON, max_size=5))
def test_any_json_params_are_kept_or_refused(params: dict[str, Any]) -> None:
    """What is accepted is unchanged and can be written as strict JSON in UTF-8."""
    event = decode(json.dumps({"handler_name": "h", "params": params}).encode())
    if isinstance(event, JobEvent):
        assert event.params == params
        assert json.dumps(event.params, allow_nan=False, ensure_ascii=False).encode()
    else:
        assert event.code in {"number_not_finite", "nul_character", "lone_surrogate"}
