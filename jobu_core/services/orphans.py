"""Processes of this project's stack that outlived their supervisord, and their end.

Supervisord marks every child with its own address in the environment, and children
of children inherit the mark; ``main.py`` marks its children too. PostgreSQL
overwrites its environment and is found by its pid file instead.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

import psutil

from jobu_core.services import foreground, postgres

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from jobu_core.services.layout import Layout

_DAEMON_COMMANDS: Final = ("dagster._daemon", "dagster-daemon")
_TERM_SECONDS: Final = 8.0
_KILL_SECONDS: Final = 5.0


def stack_processes(layout: Layout, name: str | None = None) -> list[psutil.Process]:
    """Return the stack's processes (of one program), supervisord itself included.

    Processes of other users are skipped: they cannot be ours.
    """
    found = [each for each in psutil.process_iter() if _is_marked(each, layout, name)]
    if name in {None, "postgres"}:
        found += _by_pid(postgres.server_pid(layout))
    if name is None:
        found += _by_pid(supervisord_pid(layout))
    mine = os.getpid()
    return [each for each in {each.pid: each for each in found}.values() if each.pid != mine]


def end_orphans(layout: Layout, name: str | None = None) -> int:
    """End what is left of a program that supervisord does not run; return how many."""
    left = stack_processes(layout, name)
    end(left)
    return len(left)


def end(processes: Iterable[psutil.Process]) -> None:
    """Ask ``processes`` to end, then kill those that have not within seconds."""
    waiting = list(processes)
    for each in waiting:
        _signal(each, kill=False)
    _, left = psutil.wait_procs(waiting, timeout=_TERM_SECONDS)
    for each in left:
        _signal(each, kill=True)
    psutil.wait_procs(left, timeout=_KILL_SECONDS)


def supervisord_pid(layout: Layout) -> int | None:
    """Return the pid of the project's supervisord, or None when it does not run."""
    try:
        pid = int(layout.supervisor_pid.read_text())
        command = psutil.Process(pid).cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return pid if str(layout.supervisor_conf) in command else None


def daemon_pids(root: Path) -> list[int]:
    """Return the Dagster daemons that run for the project in ``root``, whoever started them."""
    return [each.pid for each in psutil.process_iter() if _is_daemon_of(root, each)]


def _is_daemon_of(root: Path, process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
        if not any(command in word for word in words for command in _DAEMON_COMMANDS):
            return False
        return process.cwd() == str(root)
    except (OSError, psutil.Error):
        return False


def _is_marked(process: psutil.Process, layout: Layout, name: str | None) -> bool:
    try:
        environment = process.environ()
    except (OSError, psutil.Error):
        return False
    supervisor = environment.get("SUPERVISOR_SERVER_URL", "")
    if supervisor == layout.supervisor_url:
        return name in {None, environment.get("SUPERVISOR_PROCESS_NAME")}
    return name is None and foreground.is_orphan_of(layout, supervisor)


def _by_pid(pid: int | None) -> list[psutil.Process]:
    if pid is None:
        return []
    try:
        return [psutil.Process(pid)]
    except psutil.Error:
        return []


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        elif process.name() == "postgres":
            process.send_signal(signal.SIGINT)  # its SIGTERM would wait for the clients
        else:
            process.terminate()
    except psutil.Error:
        return
