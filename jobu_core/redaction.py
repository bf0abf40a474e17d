"""What may not be told: passwords, and row values that a database server repeats.

Patterns find what looks like a secret; a ``Redactor`` also knows this
installation's own. Every text that leaves jobu for a log, a row or Dagster goes
through one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_FAILING_ROW: Final = "Failing row contains ("
_KEY: Final = "Key ("
_VALUE: Final = ")=("
_SAID: Final = re.compile(r"\) (?:already exists|is not present|is still)")
_PASSWORD_FIELD: Final = re.compile(
    r"(?P<head>\b(?:ssl)?password\s*=\s*)(?:'[^']*'|[^\s&]+)", re.IGNORECASE
)
_PASSWORD: Final = re.compile(r"(?P<head>://[^\s:/@]*):[^\s@/]+@")


def redact(message: str) -> str:
    """Take row values that the server repeats, and passwords, out of a message.

    Takes time in proportion to the message, whatever is in it: a message may hold
    what a stranger sent.
    """
    message = _without_failing_row(_without_key_values(message))
    message = _PASSWORD_FIELD.sub(r"\g<head>***", message)
    return _PASSWORD.sub(r"\g<head>:***@", message)


def _without_key_values(message: str) -> str:
    """Hide the value in each ``Key (columns)=(value) already exists``."""
    kept: list[str] = []
    at = 0
    while True:
        key = message.find(_KEY, at)
        value = message.find(_VALUE, key) if key >= 0 else -1
        said = _SAID.search(message, value) if value >= 0 else None
        if said is None:
            return "".join([*kept, message[at:]])
        kept += [message[at : value + 1], " (its value is not shown", said[0]]
        at = said.end()


def _without_failing_row(message: str) -> str:
    """Hide a row up to the last bracket, as a value may hold brackets; all if there is none."""
    start = message.find(_FAILING_ROW)
    if start < 0:
        return message
    end = message.rfind(")", start)
    rest = "" if end < 0 else message[end + 1 :].removeprefix(".")
    return f"{message[:start]}Failing row is not shown.{rest}"


@dataclass(frozen=True, slots=True)
class Redactor:
    """Redacts by pattern, and every text in ``secrets`` wherever it stands."""

    secrets: tuple[str, ...] = ()

    def __call__(self, message: str) -> str:
        """Return ``message`` without secrets."""
        for secret in self.secrets:
            message = message.replace(secret, "***")
        return redact(message)
