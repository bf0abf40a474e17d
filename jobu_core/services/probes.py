"""Does a broker of Celery answer: Valkey or Redis, by TCP, TLS or Unix socket."""

from __future__ import annotations

from typing import Final

import redis

from jobu_core.errors import ServiceError

_SECONDS: Final = 3.0


def broker_answers(url: str) -> None:
    """PING the server behind a Celery broker URL; ServiceError says why it fails."""
    plain = url.replace("redis+socket://", "unix://", 1)
    try:
        client = redis.Redis.from_url(plain, socket_timeout=_SECONDS)
        with client:
            client.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        raise ServiceError(f"no answer to a PING: {type(error).__name__}") from error
