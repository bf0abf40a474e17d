"""What may not be told: passwords, and row values that a database server repeats.

Patterns find what looks like a secret; a ``Redactor`` also knows this
installation's own. Every text that leaves jobu for a log, a row or Dagster goes
through one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_FAILING_ROW: Final = re.compile(r"Failing row contains \(.*\)\.?", re.DOTALL)
"""Up to the last bracket: a value may hold brackets itself."""
_KEY_VALUE: Final = re.compile(
    r"Key \((?P<columns>[^)]*)\)=\(.*?\) (?P<said>already exists|is not present|is still)",
    re.DOTALL,
)
_PASSWORD_FIELD: Final = re.compile(
    r"(?P<head>\b(?:ssl)?password\s*=\s*)(?:'[^']*'|[^\s&]+)", re.IGNORECASE
)
_PASSWORD: Final = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@/]+@", re.IGNORECASE)


def redact(message: str) -> str:
    """Take row values that the server repeats, and passwords, out of a message."""
    message = _KEY_VALUE.sub(r"Key (\g<columns>) (its value is not shown) \g<said>", message)
    message = _FAILING_ROW.sub("Failing row is not shown.", message)
    message = _PASSWORD_FIELD.sub(r"\g<head>***", message)
    return _PASSWORD.sub(r"\g<head>:***@", message)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Redacts by pattern, and every text in ``secrets`` wherever it stands."""

    secrets: tuple[str, ...] = ()

    def __call__(self, message: str) -> str:
        """Return ``message`` without secrets."""
        for secret in self.secrets:
            message = message.replace(secret, "***")
        return redact(message)
