"""Start what the embedded stack lacks, on first use and from any process.

Cheap when a service is up; otherwise one process holds the project's lock, starts
supervisord if need be, and asks it for the program, while the others wait.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobu_core.config import Stack
from jobu_core.errors import ServiceError
from jobu_core.services import foreground, kafka, postgres, programs, valkey
from jobu_core.services.endpoints import uses_embedded_postgres, uses_embedded_valkey
from jobu_core.services.layout import Layout, layout_of
from jobu_core.services.orphans import end_orphans
from jobu_core.services.supervisord import ALIVE, ProgramState, Supervisord, render
from jobu_core.services.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobu_core.config import Settings

_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05
_TAIL_LINES: Final = 15


@dataclass(frozen=True, slots=True)
class _Service:
    name: str
    title: str
    ready: Callable[[], bool]
    prepare: Callable[[], None]


def ensure_postgres(settings: Settings) -> None:
    """See to it that the embedded PostgreSQL accepts sessions.

    A no-op when the job store is another server. Raises ServiceError with the end
    of its log when it cannot be started.
    """
    if not uses_embedded_postgres(settings):
        return
    layout = layout_of(settings)
    service = _Service(
        "postgres",
        "PostgreSQL",
        lambda: postgres.ready(layout),
        lambda: postgres.prepare(layout),
    )
    _ensure(settings, layout, service)


def ensure_valkey(settings: Settings) -> None:
    """See to it that the embedded Valkey answers; a no-op with another broker."""
    if not uses_embedded_valkey(settings):
        return
    layout = layout_of(settings)
    service = _Service("valkey", "Valkey", lambda: valkey.ready(layout), lambda: None)
    _ensure(settings, layout, service)


def ensure_kafka(settings: Settings) -> None:
    """See to it that a broker is on the configured port; a no-op outside the embedded stack.

    Raises PortTaken, naming the setting, when somebody else holds the port.
    """
    if not programs.runs_broker(settings):
        return
    layout = layout_of(settings)
    service = _Service(
        "kafka",
        "Kafka broker",
        lambda: kafka.ready(settings, layout),
        lambda: kafka.require_port(settings),
    )
    _ensure(settings, layout, service)


def ensure_worker(settings: Settings) -> None:
    """See to it that a worker is started; does not wait until it takes runs.

    A worker of ``main.py`` in the foreground counts. A no-op outside the embedded
    stack, where workers are somebody's decision.
    """
    if settings.stack is not Stack.EMBEDDED:
        return
    layout = layout_of(settings)
    if _worker_is_there(layout):
        return
    with layout.locked():
        if not _worker_is_there(layout):
            programs.prepare_dagster_home(layout)
            if start_program(settings, layout, programs.WORKER):
                announce(layout, "worker", programs.WORKER)


def start_program(settings: Settings, layout: Layout, name: str) -> bool:
    """Ask supervisord, started if need be, for a program; True when this call started it.

    Call it under the project's lock.
    """
    supervisord = running_supervisord(settings, layout)
    info = supervisord.info(name)
    if info is None:
        supervisord.apply(configuration(settings, layout))
    elif info.state in ALIVE:
        return False
    end_orphans(layout, name)
    return supervisord.launch(name)


def running_supervisord(settings: Settings, layout: Layout) -> Supervisord:
    """Return the project's supervisord, started if it does not run.

    A child of a supervisord that is ending never starts another one: ``jobu down``
    would be undone by what it is stopping.
    """
    supervisord = Supervisord(layout)
    if supervisord.running():
        return supervisord
    if os.environ.get("SUPERVISOR_SERVER_URL") == layout.supervisor_url:
        raise ServiceError("the stack that this process belongs to is being stopped")
    layout.prepare()
    supervisord.start(configuration(settings, layout))
    return supervisord


def configuration(settings: Settings, layout: Layout) -> str:
    """Return supervisord's configuration, once every user that it names exists."""
    if uses_embedded_postgres(settings):
        postgres.ensure_system_user()
    return render(layout, programs.programs(settings, layout))


def announce(layout: Layout, title: str, name: str) -> None:
    """Say in one line on stderr what was started and where its log is."""
    log = shown(layout, layout.logs / f"{name}.log")
    sys.stderr.write(f"jobu: started {title} (log {log}; `jobu down` ends it)\n")
    sys.stderr.flush()


def shown(layout: Layout, path: Path) -> str:
    """Return ``path`` as a person in the project's folder would write it."""
    return str(path.relative_to(layout.root)) if path.is_relative_to(layout.root) else str(path)


def log_tail(layout: Layout, name: str) -> str:
    """Return the last lines of a program's log, indented; for error messages."""
    try:
        text = (layout.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "    (no log)"
    return (
        "\n".join(f"    {line}" for line in text.splitlines()[-_TAIL_LINES:]) or "    (empty log)"
    )


def _ensure(settings: Settings, layout: Layout, service: _Service) -> None:
    if service.ready():
        return
    started = False
    with layout.locked():
        if service.ready():
            return
        layout.prepare()
        if not _comes_up(layout, service.name):
            service.prepare()
            started = start_program(settings, layout, service.name)
    wait_for(layout, service.name, service.title, service.ready, seconds=_START_SECONDS)
    if started:
        announce(layout, service.title, service.name)


def _comes_up(layout: Layout, name: str) -> bool:
    info = Supervisord(layout).info(name)
    return info is not None and info.state in ALIVE


def wait_for(
    layout: Layout,
    name: str,
    title: str,
    check: Callable[[], bool],
    *,
    seconds: float,
) -> None:
    """Wait until ``check`` holds; ServiceError with the log's end when it cannot.

    Gives up early when supervisord does not run the program any more.
    """
    supervisord = Supervisord(layout)

    def holds() -> bool:
        if check():
            return True
        info = supervisord.info(name)
        if info is None or info.state is ProgramState.FATAL:
            raise _failure(layout, name, title)
        return False

    if not wait_until(holds, seconds=seconds, poll_seconds=_POLL_SECONDS):
        raise _failure(layout, name, title)


def _failure(layout: Layout, name: str, title: str) -> ServiceError:
    log = shown(layout, layout.logs / f"{name}.log")
    return ServiceError(f"{title} did not come up; the end of {log}:\n{log_tail(layout, name)}")


def _worker_is_there(layout: Layout) -> bool:
    if foreground.runs(layout, programs.WORKER):
        return True
    info = Supervisord(layout).info(programs.WORKER)
    return info is not None and info.state in ALIVE
