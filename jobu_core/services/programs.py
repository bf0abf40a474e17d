"""Which programs the background stack consists of, and with which environment they run."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from typing import TYPE_CHECKING, Final

from jobu_core.config import Stack
from jobu_core.services import kafka, postgres, valkey
from jobu_core.services.endpoints import uses_embedded_postgres, uses_embedded_valkey
from jobu_core.services.supervisord import Program

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from jobu_core.config import Settings
    from jobu_core.services.layout import Layout

QUEUE: Final = "dagster"
"""The Celery queue that runs are sent to."""

CODE_SERVER: Final = "code-server"
DAEMON: Final = "daemon"
WEB_SERVER: Final = "webserver"
WORKER: Final = "worker"
_BROKER_VARIABLES: Final = ("JOBU_KAFKA", "JOBU_QUEUE_DISPATCHER", "JOBU_ROOT", "JOBU_STACK")
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")


def programs(settings: Settings, layout: Layout) -> list[Program]:
    """Return every program of the background stack; the stack decides which services."""
    environment = configured_environment(settings, os.environ)
    found: list[Program] = []
    if uses_embedded_postgres(settings):
        found.append(postgres.program(layout))
    if uses_embedded_valkey(settings):
        found.append(valkey.program(layout))
    if runs_broker(settings):
        found.append(kafka.program(settings, layout, _of_broker(environment)))
    carried = {
        **environment,
        **dagster_environment(layout.root, layout.dagster_home),
        "CONFIGURATION_SHA256": fingerprint(settings),
    }
    digest = hashlib.sha256(os.fsencode(layout.root)).hexdigest()[:8]
    found.append(worker(settings, carried, node=f"jobu-{digest}"))
    found += [
        code_server(layout, carried),
        daemon(layout.root, carried, workspace(layout)),
        web_server(settings, carried, workspace(layout)),
    ]
    return found


def runs_broker(settings: Settings) -> bool:
    """Say whether the Kafka broker is ours to run."""
    return settings.stack is Stack.EMBEDDED and not settings.kafka.adopt_existing


def configured_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what configures jobu: ``JOBU_…`` and each variable that config/ names.

    Only these go into supervisord's configuration, so that ``jobu up`` from another
    terminal finds nothing changed.
    """
    named = set(_variables_in(settings.root / "config"))
    return {
        name: value for name, value in environ.items() if name.startswith("JOBU_") or name in named
    } | {"JOBU_ROOT": str(settings.root)}


def fingerprint(settings: Settings) -> str:
    """Return a hash of config/ and of the project's handler modules.

    It is part of the programs' environment: ``jobu up`` restarts those that still
    run with what was there before.
    """
    digest = hashlib.sha256()
    paths = sorted((settings.root / "config").glob("*.y*ml"))
    for module in settings.handlers.modules:
        place = settings.root.joinpath(*module.split("."))
        paths += [place.with_suffix(".py"), place / "__init__.py"]
    for path in paths:
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _of_broker(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out settings that are not the broker's: a restart would lose its messages."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("JOBU_") or name.startswith(_BROKER_VARIABLES)
    }


def dagster_environment(root: Path, dagster_home: Path) -> dict[str, str]:
    """Return what every Dagster process and worker needs besides the configuration."""
    before = os.environ.get("PYTHONPATH")
    return {
        "DAGSTER_HOME": str(dagster_home),
        "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "3",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PYTHONPATH": os.pathsep.join([str(root), *([before] if before else [])]),
        "PYTHONUNBUFFERED": "1",
    }


def workspace(layout: Layout) -> Path:
    """Return the workspace file that names the shared code server."""
    return layout.dagster_home / "workspace.yaml"


def worker(settings: Settings, environment: Mapping[str, str], *, node: str) -> Program:
    """Return the Celery worker: warm prefork children that execute runs.

    A signal goes to its main process alone: children end when it hands back their rows.
    """
    celery = (sys.executable, "-m", "celery", "-A", "jobu_dagster.worker", "worker")
    slots = ("-P", "prefork", "-c", str(settings.worker.slots), "-Q", QUEUE)
    quiet = ("--loglevel", "INFO", "--without-gossip", "--without-mingle")
    return Program(
        name=WORKER,
        title="worker",
        command=(*celery, *slots, *quiet, "-n", f"{node}@%h"),
        directory=settings.root,
        environment=environment,
        signal_group=False,
        priority=100,
    )


def code_server(layout: Layout, environment: Mapping[str, str]) -> Program:
    """Return the server of the definitions, which the web server can ask to reload."""
    start = (sys.executable, "-m", "dagster", "code-server", "start")
    served = ("-m", "jobu_dagster.definitions", "--location-name", "jobu")
    return Program(
        name=CODE_SERVER,
        title="code server",
        command=(*start, *served, "--socket", str(layout.code_server_socket)),
        directory=layout.root,
        environment=environment,
        priority=200,
    )


def daemon(root: Path, environment: Mapping[str, str], workspace_file: Path) -> Program:
    """Return Dagster's daemon: schedules, sensors, the run queue."""
    return Program(
        name=DAEMON,
        title="Dagster daemon",
        command=(sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace_file)),
        directory=root,
        environment=environment,
        priority=300,
    )


def web_server(
    settings: Settings,
    environment: Mapping[str, str],
    workspace_file: Path,
) -> Program:
    """Return Dagster's web server."""
    listen = ("-h", settings.admin.dagster_host, "-p", str(settings.admin.dagster_port))
    return Program(
        name=WEB_SERVER,
        title="Dagster web server",
        command=(sys.executable, "-m", "dagster_webserver", *listen, "-w", str(workspace_file)),
        directory=settings.root,
        environment=environment,
        priority=300,
    )


def prepare_dagster_home(layout: Layout) -> None:
    """Make DAGSTER_HOME: the project's dagster.yaml by link, the shared code server."""
    home = layout.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    link = home / "dagster.yaml"
    target = layout.root / "dagster.yaml"
    if not link.is_symlink() or link.readlink() != target:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    text = (
        "load_from:\n"
        "  - grpc_server:\n"
        f"      socket: {layout.code_server_socket}\n"
        "      location_name: jobu\n"
    )
    file = workspace(layout)
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")


def _variables_in(folder: Path) -> Iterable[str]:
    for path in sorted(folder.glob("*.y*ml")):
        yield from _VARIABLE.findall(path.read_text(encoding="utf-8"))
