"""The whole background stack: up, down, status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from jobu_core.config import Stack
from jobu_core.errors import PortTaken, ServiceError
from jobu_core.services import compose, foreground, programs
from jobu_core.services.endpoints import (
    endpoints,
    uses_embedded_postgres,
    without_password,
)
from jobu_core.services.ensure import (
    configuration,
    ensure_kafka,
    ensure_valkey,
    running_supervisord,
    shown,
    start_program,
    wait_for,
)
from jobu_core.services.health import ask_dagster, socket_answers, web_address, worker_beats
from jobu_core.services.layout import Layout, layout_of
from jobu_core.services.orphans import daemon_pids, end, stack_processes, supervisord_pid
from jobu_core.services.ports import can_bind
from jobu_core.services.runtime import open_runtime
from jobu_core.services.supervisord import ALIVE, ProgramState, Supervisord

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from jobu_core.config import Settings
    from jobu_core.services.endpoints import Endpoints

    Say = Callable[[str], None]

CARRIERS: Final = (programs.CODE_SERVER, programs.DAEMON, programs.WEB_SERVER)
"""Dagster's own processes."""

_UP_SECONDS: Final = 120.0
_DOWN_SECONDS: Final = 40.0


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One line of ``jobu status``."""

    program: str
    state: str
    pid: int | None
    uptime_seconds: int | None
    address: str | None


def up(settings: Settings, say: Say) -> Endpoints:
    """Start whatever is not up and wait until everything works; idempotent.

    Raises PortTaken naming the setting, or ServiceError with the end of the log of
    the program that does not come up.
    """
    where = endpoints(settings)
    layout = layout_of(settings)
    require_services(settings, {"postgres", "valkey", "kafka"}, say)
    with layout.locked():
        _prepare(settings, layout)
    with open_runtime(settings, application_name="jobu-up", kafka=True) as runtime:
        ensure_valkey(settings)
        ensure_kafka(settings)
        if _start(settings, layout, [programs.CODE_SERVER, programs.WORKER]):
            say("jobu: starting Dagster (some seconds)")
        wait_for(
            layout,
            programs.CODE_SERVER,
            "code server",
            lambda: socket_answers(layout.code_server_socket),
            seconds=_UP_SECONDS,
        )
        _start(settings, layout, [programs.DAEMON, programs.WEB_SERVER])
        _wait_for_dagster(settings, layout)
        wait_for(
            layout,
            programs.WORKER,
            "worker",
            lambda: worker_beats(runtime.engine, _pid(layout, programs.WORKER)),
            seconds=_UP_SECONDS,
        )
    return where


def down(settings: Settings, say: Say) -> None:
    """End every process of the stack, whoever started it; keep the data.

    Also works when supervisord itself was killed: its children are found by the
    mark that it left in their environment.
    """
    layout = layout_of(settings)
    if not layout.state.exists():
        say("jobu: nothing is running")
        return
    with layout.locked():
        supervisord = Supervisord(layout)
        had = {each.name for each in supervisord.all() if each.pid}
        if supervisord.running():
            _shut_down(layout, supervisord, had)
        left = stack_processes(layout)
        end(left)
        survivors = stack_processes(layout)
    if survivors:
        pids = ", ".join(str(each.pid) for each in survivors)
        raise ServiceError(f"these processes of the stack could not be ended: {pids}")
    _say_what_ended(settings, sorted(had) or [f"{len(left)} left-over processes"] * bool(left), say)


def status(settings: Settings) -> list[ProgramStatus]:
    """Return the stack's services and programs, and every ``main.py`` in the foreground."""
    where = endpoints(settings)
    layout = layout_of(settings)
    addresses = {
        "postgres": without_password(where.database_url),
        "valkey": without_password(where.broker_url),
        "kafka": where.kafka_bootstrap,
        programs.WEB_SERVER: where.dagster_web_url,
    }
    known = {each.name: each for each in Supervisord(layout).all()}
    found = _containers(settings)
    for program in programs.programs(settings, layout):
        info = known.get(program.name)
        found.append(
            ProgramStatus(
                program=program.name,
                state=(info.state if info else ProgramState.STOPPED).value,
                pid=info.pid if info else None,
                uptime_seconds=info.uptime_seconds if info else None,
                address=addresses.get(program.name),
            ),
        )
    for each in foreground.running(layout):
        parts = " ".join(each.parts)
        found.append(ProgramStatus(f"main.py {parts}", "FOREGROUND", each.pid, None, None))
    return found


def require_services(settings: Settings, names: Collection[str], say: Say) -> None:
    """In the compose stack, wait until the services called ``names`` answer.

    Raises ServiceError with the command that starts them. Elsewhere a no-op: the
    embedded stack starts its own, and outages of external services are waited out.
    """
    if settings.stack is Stack.COMPOSE:
        compose.require(settings, names, say)


def stop_carriers(settings: Settings) -> bool:
    """Stop the background code server, daemon and web server; True when any ran."""
    layout = layout_of(settings)
    supervisord = Supervisord(layout)
    had = [each.name for each in supervisord.all() if each.name in CARRIERS and each.pid]
    supervisord.stop(had)
    return bool(had)


def require_web_port(settings: Settings) -> None:
    """Raise PortTaken when somebody else holds the web server's port."""
    where = web_address(settings)
    if not can_bind(where):
        raise PortTaken(
            f"port {where.port} is taken by another program:"
            " change admin.dagster_port (JOBU_ADMIN__DAGSTER_PORT)",
        )


def _containers(settings: Settings) -> list[ProgramStatus]:
    """Return whether the services of the compose stack answer; empty in other stacks."""
    if settings.stack is not Stack.COMPOSE:
        return []
    return [
        ProgramStatus(
            f"{each.name} (compose)",
            "ANSWERS" if each.answers() else "NO ANSWER",
            None,
            None,
            each.address,
        )
        for each in compose.services(settings)
    ]


def _prepare(settings: Settings, layout: Layout) -> None:
    layout.prepare()
    supervisord = Supervisord(layout)
    web = supervisord.info(programs.WEB_SERVER)
    if supervisord.running():
        programs.prepare_dagster_home(layout)
        supervisord.apply(configuration(settings, layout))
    else:
        end(stack_processes(layout))
        programs.prepare_dagster_home(layout)
        running_supervisord(settings, layout)
    if web is None or web.state not in ALIVE:
        require_web_port(settings)


def _start(settings: Settings, layout: Layout, names: list[str]) -> bool:
    """Start what is not up among ``names``; True when anything was started."""
    with layout.locked():
        started = [start_program(settings, layout, name) for name in names]
    return any(started)


def _pid(layout: Layout, name: str) -> int:
    info = Supervisord(layout).info(name)
    return (info.pid or 0) if info else 0


def _wait_for_dagster(settings: Settings, layout: Layout) -> None:
    def answers() -> bool:
        return ask_dagster(settings) is not None

    def complete() -> bool:
        health = ask_dagster(settings)
        if health is not None and health.load_error is not None:
            raise ServiceError(f"the code location does not load: {health.load_error.strip()}")
        return health is not None and health.complete

    wait_for(layout, programs.WEB_SERVER, "Dagster web server", answers, seconds=_UP_SECONDS)
    wait_for(layout, programs.DAEMON, "Dagster daemon", complete, seconds=_UP_SECONDS)


def _shut_down(layout: Layout, supervisord: Supervisord, had: set[str]) -> None:
    """Stop what uses the services first, side by side, then all the rest."""
    pid = supervisord_pid(layout)
    try:
        users = had & {*CARRIERS, programs.WORKER}
        supervisord.stop(users)
        supervisord.stop(had - users)
        supervisord.shutdown()
        if pid is not None:
            psutil.Process(pid).wait(_DOWN_SECONDS)
    except (ServiceError, OSError, psutil.Error):
        return  # whoever is left is ended by pid


def _say_what_ended(settings: Settings, ended: list[str], say: Say) -> None:
    layout = layout_of(settings)
    if not ended:
        say("jobu: nothing was running")
    else:
        say(f"jobu: stopped {', '.join(ended)}")
        if uses_embedded_postgres(settings):
            say(f"jobu: the data stays in {shown(layout, layout.postgres_data)}")
        if programs.runs_broker(settings):
            say("jobu: the embedded Kafka broker was in memory: its messages are gone")
    for each in foreground.running(layout):
        say(f"jobu: main.py {' '.join(each.parts)} (pid {each.pid}) still runs; Ctrl-C ends it")
    for pid in daemon_pids(layout.root):
        say(f"jobu: a Dagster daemon (pid {pid}) still runs and starts services again; end it too")
