"""The ``jobu`` command: one module per noun, errors as one line."""

from __future__ import annotations

import logging
import sys
from typing import Final

import typer

from jobu_admin.cli import (
    bench,
    cron,
    datasets,
    dead_letters,
    events,
    executions,
    models,
    parts,
    prune,
    rejects,
    stack,
    transforms,
)
from jobu_core.errors import JobuError
from jobu_core.log import configure_logging
from jobu_core.redaction import redact
from jobu_core.store.documents import storable

_MAX_SHOWN: Final = 1500

__all__ = ["build_app", "main"]


def build_app() -> typer.Typer:
    """Assemble the command from its modules."""
    app = typer.Typer(
        name="jobu",
        help="Cron jobs and Kafka events on Dagster.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    stack.register(app)
    app.add_typer(cron.app, name="cron")
    app.add_typer(executions.app, name="executions")
    app.add_typer(events.app, name="events")
    app.add_typer(dead_letters.app, name="dead-letters")
    app.add_typer(datasets.app, name="datasets")
    app.add_typer(models.app, name="models")
    app.add_typer(transforms.app, name="transforms")
    app.add_typer(rejects.app, name="rejects")
    parts.register(app)
    prune.register(app)
    bench.register(app)
    return app


def main() -> None:
    """Run the command; a JobuError becomes one line on stderr and exit code 1."""
    if any(storable(argument) != argument for argument in sys.argv):
        sys.stderr.write("jobu: an argument is not UTF-8\n")
        sys.exit(2)
    configure_logging(logging.WARNING)  # standard output is for results
    try:
        build_app()()
    except JobuError as error:
        sys.stderr.write(f"jobu: {_shown(str(error))}\n")
        sys.exit(1)


def _shown(message: str) -> str:
    """Return an error without secrets, and not longer than a person reads."""
    told = redact(message)
    return told if len(told) <= _MAX_SHOWN else f"{told[:_MAX_SHOWN]}…"
