"""One supervisord per project: its configuration, its start, and talking to it.

Supervisord restarts what dies, rotates logs, and gives children clean signal
dispositions; a second supervisor of our own would only do this worse.
"""

from __future__ import annotations

import http.client
import os
import shlex
import socket
import subprocess
import sys
import xmlrpc.client
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from supervisor.datatypes import dict_of_key_value_pairs

from jobu_core.errors import ConfigError, ServiceError
from jobu_core.services.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from jobu_core.services.layout import Layout

STDOUT: Final = "/dev/fd/1"
_RPC_SECONDS: Final = 30.0
_START_SECONDS: Final = 20.0
_BAD_NAME: Final = 10
_ALREADY_STARTED: Final = 60
_NOT_RUNNING: Final = 70
_FOREIGN_VARIABLES: Final = ("DAGSTER_", "CELERY_", "SUPERVISOR_", "COV_CORE_", "PYTEST_")


class ProgramState(StrEnum):
    """Supervisord's word for how a program is doing."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    FATAL = "FATAL"
    UNKNOWN = "UNKNOWN"


ALIVE: Final = frozenset({ProgramState.STARTING, ProgramState.RUNNING, ProgramState.BACKOFF})
"""States in which supervisord will keep or bring the program up by itself."""


@dataclass(frozen=True, slots=True)
class Program:
    """A foreground program that supervisord runs."""

    name: str
    title: str
    """What a person calls it."""
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]
    user: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 7
    signal_group: bool = True
    """Whether stop signals go to the whole process group."""
    priority: int = 999
    """Higher ones stop first."""


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """A program as supervisord sees it now."""

    name: str
    state: ProgramState
    pid: int | None
    uptime_seconds: int | None
    detail: str


def render(layout: Layout, programs: Iterable[Program]) -> str:
    """Return the configuration of the background supervisord."""
    owner = "user = root\n" if os.geteuid() == 0 else ""
    head = (
        "[supervisord]\n"
        f"{owner}"
        f"logfile = {_value(layout.logs / 'supervisord.log')}\n"
        "logfile_maxbytes = 5MB\nlogfile_backups = 2\nloglevel = info\n"
        f"pidfile = {_value(layout.supervisor_pid)}\n"
        f"childlogdir = {_value(layout.logs)}\n"
        f"identifier = jobu\ndirectory = {_value(layout.root)}\n"
        "nodaemon = false\nminfds = 1024\nminprocs = 1\n\n"
        "[unix_http_server]\n"
        f"file = {_value(layout.rpc_socket)}\nchmod = 0700\n\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
    )
    bodies = (program_section(each, log=str(layout.logs / f"{each.name}.log")) for each in programs)
    return "\n".join([head, *bodies])


def program_section(
    program: Program,
    *,
    log: str,
    autostart: bool = False,
    mark: str = "AUTO",
) -> str:
    """Return one ``[program:…]`` section.

    ``log`` may be STDOUT, supervisord's own output. ``mark`` is what children see as
    their supervisor's address.
    """
    rotation = (0, 0) if log == STDOUT else (10 * 1024 * 1024, 3)
    lines = [
        f"[program:{program.name}]",
        f"command = {_value(shlex.join(program.command))}",
        f"directory = {_value(program.directory)}",
        f"environment = {environment_value(program.environment)}",
        f"serverurl = {_value(mark)}",
        f"priority = {program.priority}",
        f"autostart = {str(autostart).lower()}",
        "autorestart = true",
        "startsecs = 1",
        "startretries = 20",
        f"stopsignal = {program.stop_signal}",
        f"stopwaitsecs = {program.stop_seconds}",
        f"stopasgroup = {str(program.signal_group).lower()}",
        "killasgroup = true",
        "redirect_stderr = true",
        f"stdout_logfile = {_value(_value(log))}",  # supervisord expands this one twice
        f"stdout_logfile_maxbytes = {rotation[0]}",
        f"stdout_logfile_backups = {rotation[1]}",
    ]
    if program.user is not None:
        lines.append(f"user = {program.user}")
    return "\n".join([*lines, ""])


def environment_value(environment: Mapping[str, str]) -> str:
    """Quote variables for supervisord; ConfigError names one that cannot be written."""
    pairs = []
    for name, value in sorted(environment.items()):
        if not _is_writable(value):
            raise ConfigError(f"environment variable {name} cannot be handed to supervisord")
        for quote in ('"', "'"):
            pair = f"{name}={quote}{value}{quote}"
            if _reads_back(pair, name, value):
                pairs.append(_value(pair))
                break
        else:
            raise ConfigError(f"environment variable {name} cannot be handed to supervisord")
    return ",".join(pairs)


def _reads_back(pair: str, name: str, value: str) -> bool:
    try:
        return bool(dict_of_key_value_pairs(pair) == {name: value})
    except ValueError:
        return False


def _is_writable(text: str) -> bool:
    return "\n" not in text and " ;" not in text and " #" not in text


def _value(text: object) -> str:
    written = str(text)
    if not _is_writable(written):
        raise ConfigError(f"supervisord cannot be given {written!r}: move the project's folder")
    return written.replace("%", "%%")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_RPC_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        del host
        return _UnixConnection(self._path)


class Supervisord:
    """The supervisord of one project; every method may raise ServiceError."""

    def __init__(self, layout: Layout) -> None:
        """Connect to nothing yet."""
        self._layout = layout

    def running(self) -> bool:
        """Say whether it answers and is not shutting down."""
        try:
            return bool(self._call("getState")["statecode"] == 1)
        except (OSError, ServiceError):
            return False

    def start(self, conf: str) -> None:
        """Start it, detached from this process, and wait until it answers."""
        self._layout.prepare()
        self._write(conf)
        plainly = [sys.executable, "-m", "jobu_core.services.plain_signals"]
        command = [*plainly, "-m", "supervisor.supervisord"]
        done = subprocess.run(
            [*command, "-c", str(self._layout.supervisor_conf)],
            check=False,
            cwd=self._layout.root,
            env=clean_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            timeout=_START_SECONDS,
        )
        if done.returncode or not wait_until(self.running, seconds=_START_SECONDS):
            reason = done.stderr.decode(errors="replace").strip()
            raise ServiceError(
                f"supervisord did not start; see {self._layout.logs}/supervisord.log {reason}",
            )

    def apply(self, conf: str) -> None:
        """Give a running supervisord a new configuration; stop what changed or left."""
        self._write(conf)
        (changes,) = self._call("reloadConfig")
        added, changed, removed = changes
        for name in (*changed, *removed):
            self.stop([name])
            self._call("removeProcessGroup", name)
        for name in (*changed, *added):
            self._call("addProcessGroup", name)

    def info(self, name: str) -> ProgramInfo | None:
        """Return how a program is doing; None when supervisord does not know it."""
        return next((each for each in self.all() if each.name == name), None)

    def all(self) -> list[ProgramInfo]:
        """Return every program; empty when supervisord does not run."""
        try:
            found = self._call("getAllProcessInfo")
        except (OSError, ServiceError):
            return []
        return [_info(each) for each in found]

    def launch(self, name: str) -> bool:
        """Start a program without waiting; False when it was already starting or up."""
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == _ALREADY_STARTED:
                return False
            raise ServiceError(f"supervisord cannot start {name}: {fault.faultString}") from fault
        return True

    def stop(self, names: Iterable[str]) -> None:
        """Stop programs side by side and wait until all have ended."""
        waiting = list(names)
        for name in waiting:
            try:
                self._call("stopProcess", name, False)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode not in {_NOT_RUNNING, _BAD_NAME}:
                    raise ServiceError(f"cannot stop {name}: {fault.faultString}") from fault
        if not wait_until(lambda: not self._alive_among(waiting), seconds=_RPC_SECONDS):
            raise ServiceError(f"{', '.join(waiting)} did not stop in {_RPC_SECONDS:.0f} s")

    def shutdown(self) -> None:
        """Ask it to stop everything and end; returns at once."""
        self._call("shutdown")

    def _alive_among(self, names: Collection[str]) -> bool:
        return any(each.pid for each in self.all() if each.name in names)

    def _call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - XML-RPC's own shapes
        transport = _UnixTransport(str(self._layout.rpc_socket))
        proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except (http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise ServiceError(f"supervisord does not answer {method}: {error}") from error
        finally:
            transport.close()

    def _write(self, conf: str) -> None:
        path = self._layout.supervisor_conf
        beside = path.with_suffix(".new")
        beside.touch(mode=0o600)
        beside.write_text(conf, encoding="utf-8")
        beside.replace(path)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` without what belongs to whoever happened to start us."""
    return {
        name: value for name, value in environ.items() if not name.startswith(_FOREIGN_VARIABLES)
    }


def _info(raw: Mapping[str, Any]) -> ProgramInfo:
    pid = int(raw["pid"]) or None
    return ProgramInfo(
        name=str(raw["name"]),
        state=ProgramState(raw["statename"]),
        pid=pid,
        uptime_seconds=int(raw["now"]) - int(raw["start"]) if pid else None,
        detail=str(raw["spawnerr"] or raw["description"]),
    )
