"""``main.py``: chosen parts in one foreground process group under ``supervisord -n``."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Final

from jobu_core.errors import ConfigError
from jobu_core.services import foreground, programs
from jobu_core.services.ensure import ensure_kafka, ensure_postgres, ensure_valkey
from jobu_core.services.layout import layout_of
from jobu_core.services.stack import require_services, require_web_port
from jobu_core.services.supervisord import STDOUT, Program, clean_environment, program_section

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jobu_core.config import Settings
    from jobu_core.services.layout import Layout

PARTS: Final = ("dispatcher", "queue_dispatcher", "worker", "admin")
DEFAULT_PARTS: Final = ("dispatcher", "worker", "admin")
_STOP_SECONDS: Final = 7


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Return the parts to run, each once; none named means the default ones."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise ConfigError(f"{unknown[0]!r} is no part; parts are {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in (names or DEFAULT_PARTS))


def run_parts(settings: Settings, names: Sequence[str]) -> None:
    """Replace this process by the supervisor of ``names``; returns only by an error.

    Embedded services are started first and stay up afterwards, for others that use
    them; ``jobu down`` ends them. Which schedules and sensors are on is not touched.
    """
    parts = chosen(names)
    layout = layout_of(settings)
    reads_events = {"dispatcher", "queue_dispatcher"} & set(parts)
    if "admin" in parts:
        require_web_port(settings)
    needed = {"postgres", "valkey"} | ({"kafka"} if reads_events else set())
    require_services(settings, needed, _say)
    layout.prepare()
    programs.prepare_dagster_home(layout)
    foreground.record(layout, parts)
    ensure_postgres(settings)
    ensure_valkey(settings)
    if reads_events:
        ensure_kafka(settings)
    conf = layout.foreground / f"{os.getpid()}.conf"
    conf.touch(mode=0o600)
    conf.write_text(_render(settings, layout, parts), encoding="utf-8")
    plainly = [sys.executable, "-m", "jobu_core.services.plain_signals"]
    arguments = [*plainly, "-m", "supervisor.supervisord", "-n", "-c", str(conf)]
    os.execve(sys.executable, arguments, clean_environment(os.environ))  # noqa: S606 - no shell is meant


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _render(settings: Settings, layout: Layout, parts: Sequence[str]) -> str:
    chosen_programs = [_program(settings, layout, part) for part in parts]
    owner = "user = root\n" if os.geteuid() == 0 else ""
    head = (
        f"[supervisord]\n{owner}nodaemon = true\nloglevel = error\nlogfile = /dev/null\n"
        f"logfile_maxbytes = 0\npidfile = {layout.foreground / f'{os.getpid()}.pid'}\n"
        "identifier = jobu-foreground\nminfds = 1024\nminprocs = 1\n"
    )
    group = f"[group:jobu]\nprograms = {','.join(each.name for each in chosen_programs)}\n"
    mark = foreground.mark(layout, os.getpid())
    bodies = [
        program_section(each, log=_log(layout, each), autostart=True, mark=mark)
        for each in chosen_programs
    ]
    return "\n".join([head, group, *bodies])


def _log(layout: Layout, program: Program) -> str:
    """Return this terminal, or a file where standard output cannot be opened again."""
    if stat.S_ISSOCK(os.fstat(1).st_mode):
        return str(layout.logs / f"main-{program.name}.log")
    return STDOUT


def _program(settings: Settings, layout: Layout, part: str) -> Program:
    environment = {
        **programs.configured_environment(settings, os.environ),
        **programs.dagster_environment(layout.root, layout.dagster_home),
    }
    workspace = layout.root / "workspace.yaml"
    if part == "dispatcher":
        return programs.daemon(layout.root, environment, workspace)
    if part == "admin":
        return programs.web_server(settings, environment, workspace)
    if part == "worker":
        return programs.worker(settings, environment, node=f"jobu-main-{os.getpid()}")
    return _queue_dispatcher(layout.root, environment)


def _queue_dispatcher(root: Path, environment: dict[str, str]) -> Program:
    return Program(
        name="queue_dispatcher",
        title="queue dispatcher",
        command=(sys.executable, "-m", "jobu_dagster.queue_dispatcher"),
        directory=root,
        environment=environment,
        stop_seconds=_STOP_SECONDS,
    )
