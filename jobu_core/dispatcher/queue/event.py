"""Bytes of a message → JobEvent, or the Rejection that says why not; pure.

An event is read strictly, because whatever is refused here is kept and can be
sent again, while a guess runs the wrong job: UTF-8 JSON (a byte order mark at
the start is skipped), one object, no key twice, no key but ``handler_name``,
``params`` and ``job_id``, and nothing that ``jsonb`` cannot hold. Null counts
as absent. ``CODES`` lists every verdict.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NoReturn

from jobu_core.config.sources import suggest
from jobu_core.models import JobEvent, Rejection, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH: Final = 100
"""Arrays and objects inside each other; jsonb and every reader cope with these."""

MAX_NAME: Final = 255
MAX_JOB_ID: Final = 2**63 - 1

CODES: Final[Mapping[str, str]] = {
    "tombstone": "the message has no value",
    "empty": "the value holds no JSON",
    "too_large": "the value is longer than max_message_bytes",
    "confluent_framing": "the value begins with a schema registry's frame; send plain JSON",
    "not_utf8": "the value is not UTF-8",
    "not_json": "the value is not one JSON document",
    "too_deep": f"arrays and objects are nested deeper than {MAX_DEPTH}",
    "number_not_finite": "NaN and Infinity are not JSON",
    "number_out_of_range": "a number is too large for a 64-bit float",
    "number_too_long": "an integer has too many digits",
    "nul_character": "a string holds \\u0000, which PostgreSQL cannot store",
    "lone_surrogate": "a string holds half of a surrogate pair",
    "duplicate_key": "an object names a key twice",
    "not_an_object": "the JSON document is not an object",
    "unknown_key": "a key that an event does not have",
    "handler_name_invalid": f"handler_name must be a string of 1 to {MAX_NAME} characters",
    "handler_name_missing": "handler_name may be left out only with a job_id",
    "params_not_object": "params must be an object",
    "job_id_invalid": "job_id must be a positive 64-bit integer",
}
"""Every code of stage decode, with what it tells the sender."""

_KEYS: Final = ("handler_name", "params", "job_id")
_BOM: Final = b"\xef\xbb\xbf"
_FRAME_BYTES: Final = 5


class _RefusedError(ValueError):
    """Carries a Rejection out of the parser's callbacks."""

    def __init__(self, code: str, detail: str = "") -> None:
        text = CODES[code]
        self.rejection = Rejection(Stage.DECODE, code, f"{text}: {detail}" if detail else text)
        super().__init__(code)


def decode_event(value: bytes | None, *, max_bytes: int) -> JobEvent | Rejection:
    """Read one message; never raises, whatever the bytes."""
    try:
        return _to_event(_parse(_checked_text(value, max_bytes)))
    except _RefusedError as refused:
        return refused.rejection


def _checked_text(value: bytes | None, max_bytes: int) -> str:
    if value is None:
        raise _RefusedError("tombstone")
    if len(value) > max_bytes:
        raise _RefusedError("too_large", f"{len(value)} bytes")
    if value[:1] == b"\0" and len(value) >= _FRAME_BYTES:
        raise _RefusedError("confluent_framing")
    try:
        text = value.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _RefusedError("not_utf8", f"byte {error.start}") from None
    if not text.strip():
        raise _RefusedError("empty")
    return text


def _parse(text: str) -> Any:  # noqa: ANN401 - any JSON document
    try:
        document = _DECODER.decode(text)
    except RecursionError:
        raise _RefusedError("too_deep") from None
    except json.JSONDecodeError as error:
        raise _RefusedError("not_json", f"{error.msg}, character {error.pos}") from None
    except _RefusedError:
        raise
    except ValueError:  # Python's own limit on the digits of an integer
        raise _RefusedError("number_too_long") from None
    # Most messages hold neither many brackets nor an escape: they need no walk.
    if "\\u" in text or text.count("{") + text.count("[") > MAX_DEPTH:
        _check_strings_and_depth(document)
    return document


def _no_constant(name: str) -> NoReturn:
    raise _RefusedError("number_not_finite", name)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _RefusedError("number_out_of_range")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise _RefusedError("duplicate_key", _quoted(twice))
    return document


_DECODER: Final = json.JSONDecoder(
    parse_constant=_no_constant,
    parse_float=_finite,
    object_pairs_hook=_unique,
)


def _check_strings_and_depth(document: object) -> None:
    """Walk without recursion; the document may be as deep as the parser allows."""
    waiting: list[tuple[object, int]] = [(document, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            _check_string(item)
        elif isinstance(item, dict | list):
            if depth >= MAX_DEPTH:
                raise _RefusedError("too_deep")
            waiting.extend((child, depth + 1) for child in item)
            if isinstance(item, dict):
                waiting.extend((child, depth + 1) for child in item.values())


def _check_string(text: str) -> None:
    if "\0" in text:
        raise _RefusedError("nul_character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _RefusedError("lone_surrogate") from None


def _to_event(document: object) -> JobEvent:
    if not isinstance(document, dict):
        raise _RefusedError("not_an_object")
    for key in document:
        if key not in _KEYS:
            raise _RefusedError("unknown_key", _quoted(key) + suggest(key, _KEYS))
    name, job_id = _handler_name(document), _job_id(document)
    if name is None and job_id is None:
        raise _RefusedError("handler_name_missing")
    return JobEvent(handler_name=name, params=_params(document), job_id=job_id)


def _handler_name(document: Mapping[str, Any]) -> str | None:
    name = document.get("handler_name")
    if name is None:
        return None
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise _RefusedError("handler_name_invalid")
    return name


def _job_id(document: Mapping[str, Any]) -> int | None:
    job_id = document.get("job_id")
    if job_id is None:
        return None
    if isinstance(job_id, bool) or not isinstance(job_id, int) or not 0 < job_id <= MAX_JOB_ID:
        raise _RefusedError("job_id_invalid")
    return job_id


def _params(document: Mapping[str, Any]) -> Mapping[str, Any]:
    params = document.get("params")
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise _RefusedError("params_not_object")
    return params


def _quoted(key: str) -> str:
    """Return a sender's key as it may be shown: short, printable, storable."""
    shortened = key if len(key) <= 60 else key[:60] + "…"  # noqa: PLR2004 - one line
    return ascii(shortened)
