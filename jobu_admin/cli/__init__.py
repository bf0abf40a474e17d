"""The ``jobu`` command: one module per noun, errors as one line."""

from __future__ import annotations

import logging
import sys

import typer

from jobu_admin.cli import cron, dead_letters, events, executions, parts, stack
from jobu_core.errors import JobuError
from jobu_core.log import configure_logging
from jobu_core.redaction import redact

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
    parts.register(app)
    return app


def main() -> None:
    """Run the command; a JobuError becomes one line on stderr and exit code 1."""
    configure_logging(logging.WARNING)  # standard output is for results
    try:
        build_app()()
    except JobuError as error:
        sys.stderr.write(f"jobu: {redact(str(error))}\n")
        sys.exit(1)
