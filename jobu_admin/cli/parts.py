"""``jobu dispatcher|queue_dispatcher|worker|admin``: one part in the foreground."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from jobu_core.config import load_settings
from jobu_core.services.endpoints import endpoints
from jobu_core.services.parts import chosen, run_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    for command in (dispatcher, queue_dispatcher, worker, admin):
        app.command(name=command.__name__)(command)


def dispatcher() -> None:
    """Run Dagster's daemon: cron schedules, the Kafka sensor, the run queue."""
    run(["dispatcher"])


def queue_dispatcher() -> None:
    """Run the long-lived event dispatcher, which needs no daemon."""
    run(["queue_dispatcher"])


def worker() -> None:
    """Run a worker: warm processes that execute runs."""
    run(["worker"])


def admin() -> None:
    """Run the Dagster web server (jobu's own pages come in a later version)."""
    run(["admin"])


def run(names: Sequence[str]) -> None:
    """Say what starts, then become the supervisor of those parts until Ctrl-C."""
    settings = load_settings()
    parts = chosen(names)
    lines = [f"jobu: {', '.join(parts)} in the foreground; Ctrl-C stops them"]
    if "admin" in parts:
        where = endpoints(settings).dagster_web_url
        lines.append(f"jobu: admin is the Dagster web server for now: {where}")
    sys.stderr.write("\n".join([*lines, ""]))
    sys.stderr.flush()
    run_parts(settings, parts)
