"""TCP addresses: can one connect, can one bind; what a taken port is called."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import Any, Final

from jobu_core.errors import ConfigError

UNUSABLE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
"""An address family or address that this machine does not have."""

_CONNECT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Address:
    """A host and port as a person configures them."""

    host: str
    port: int

    def resolve(self) -> list[tuple[Any, Any, int, str, Any]]:
        """Return the stream addresses; ConfigError when the name is unknown."""
        try:
            return socket.getaddrinfo(
                self.host or None,
                self.port,
                type=socket.SOCK_STREAM,
                flags=socket.AI_PASSIVE,
            )
        except socket.gaierror as error:
            raise ConfigError(f"{self.host!r} is no host name known here") from error

    def __str__(self) -> str:
        """Return ``host:port``."""
        return f"{self.host}:{self.port}"


def can_connect(where: Address) -> bool:
    """Say whether somebody accepts connections there."""
    try:
        socket.create_connection((where.host, where.port), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def bind(where: Address) -> list[socket.socket]:
    """Bind every address of ``where``; OSError when one of them is in use.

    Raises ConfigError when none of them is an address of this machine.
    """
    bound: list[socket.socket] = []
    try:
        for family, kind, protocol, _, target in where.resolve():
            listener = _bind_one(family, kind, protocol, target)
            if listener is not None:
                bound.append(listener)
    except OSError:
        for listener in bound:
            listener.close()
        raise
    if not bound:
        raise ConfigError(f"{where.host} is no address of this machine")
    return bound


def can_bind(where: Address) -> bool:
    """Say whether the port is free on every address that ``where`` names."""
    try:
        bound = bind(where)
    except OSError:
        return False
    for listener in bound:
        listener.close()
    return True


def _bind_one(
    family: int,
    kind: int,
    protocol: int,
    target: Any,  # noqa: ANN401 - differs by family
) -> socket.socket | None:
    try:
        listener = socket.socket(family, kind, protocol)
    except OSError:
        return None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        listener.bind(target)
    except OSError as error:
        listener.close()
        if error.errno in UNUSABLE:
            return None
        raise
    return listener
