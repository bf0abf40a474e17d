r"""The part of regular expressions for which a match is a match in every engine.

Arrow's engine is RE2, pydantic's is Rust's regex. Both agree on a match of ASCII
characters and classes spelled out, in groups, alternatives and counts; nothing
else is taken. ``\d`` and ``\w`` are more in Rust than here, which only means
that their other matches are left to pydantic.
"""

from __future__ import annotations

import re
from typing import Any, Final

import pyarrow as pa

from jobu_core.pipeline.validate.kernels import pc
from jobu_core.pipeline.validate.proofs import NotCompiled

_LONGEST: Final = 200
_CLASSES: Final = {r"\d": "0-9", r"\w": "0-9A-Za-z_"}

_TOKEN: Final = re.compile(
    r"(?P<short>\\[dw])"
    r"|(?P<escaped>\\[.\-+*?()\[\]{}|^$/\\])"
    # Inside a class Rust knows && and --, which RE2 does not: no & and one - at an edge.
    r"|(?P<class>\[-?(?:[A-Za-z0-9_](?:-[A-Za-z0-9_])?|[ .,:;@#%=!/+*()]|\\[dw.\-])+-?\])"
    r"|(?P<group>\((?:\?:)?|\)|\|)"
    r"|(?P<count>[*+?]|\{[0-9]{1,3}(?:,(?:[0-9]{1,3})?)?\})"
    r"|(?P<edge>[\^$])"
    r"|(?P<literal>[A-Za-z0-9_ ,:;@#%&=!/<>'\"~`-])"
)


def ascii_pattern(pattern: object) -> str:
    """Return an RE2 pattern whose matches all match ``pattern``; raises NotCompiled."""
    if not isinstance(pattern, str) or len(pattern) > _LONGEST:
        raise NotCompiled("the pattern is not a short text")
    written, at = [], 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            raise NotCompiled(f"the pattern has more than ASCII classes and counts at {at}")
        written.append(_translated(token))
        at = token.end()
    translated = "".join(written)
    try:
        nothing: Any = pa.array([], pa.string())
        pc.match_substring_regex(nothing, translated)
    except pa.ArrowInvalid:
        raise NotCompiled("the pattern is none for RE2") from None
    return translated


def _translated(token: re.Match[str]) -> str:
    text = token.group()
    if token.lastgroup == "short":
        return f"[{_CLASSES[text]}]"
    if token.lastgroup == "class":
        for short, spelled in _CLASSES.items():
            text = text.replace(short, spelled)
    return text
