"""Which texts of the settings are secrets, so that nothing ever shows them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from jobu_core.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobu_core.config.settings import Settings

_MIN_CHARACTERS: Final = 6
"""Shorter ones are words that logs need, such as ``jobu``; nobody should use them."""
_MIN_LINE: Final = 16
_USERINFO: Final = re.compile(r"//[^:@/]*:(?P<password>.+)@", re.DOTALL)
_FIELD: Final = re.compile(r"\b(?:ssl)?password\s*=\s*(?P<password>[^\s&]+)", re.IGNORECASE)
_SECRET_NAME: Final = re.compile(r"password|secret|token|jaas|\.pem$|oauthbearer\.config")


def redactor_of(settings: Settings) -> Redactor:
    """Return what takes every configured secret out of a text, the longest first."""
    found: set[str] = set()
    for secret in _configured(settings):
        lines = [line for line in secret.splitlines() if len(line) >= _MIN_LINE]
        found |= {secret, unquote(secret), *lines}
    long = (secret for secret in found if len(secret) >= _MIN_CHARACTERS)
    return Redactor(tuple(sorted(long, key=lambda secret: (-len(secret), secret))))


def _configured(settings: Settings) -> Iterator[str]:
    for database in settings.databases.values():
        yield from _in_url(database.url.get_secret_value())
    yield from _in_url(settings.worker.broker_url.get_secret_value())
    yield from _in_client(settings.kafka.client)
    for bucket in settings.s3_buckets.values():
        yield from filter(
            None, (bucket.secret_key.get_secret_value(), bucket.session_token.get_secret_value())
        )


def _in_url(url: str) -> Iterator[str]:
    for pattern in (_USERINFO, _FIELD):
        yield from (match["password"] for match in pattern.finditer(url))


def _in_client(client: Mapping[str, Any]) -> Iterator[str]:
    for name, value in client.items():
        if isinstance(value, str) and _SECRET_NAME.search(name):
            yield value
