"""The ``jobu`` command: one module per noun, errors as one line."""

from __future__ import annotations

import logging
import sys

import structlog
import typer

from jobu_admin.cli import cron, dead_letters, events, executions, parts, stack
from jobu_core.errors import JobuError

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
    _log_to_stderr()
    try:
        build_app()()
    except JobuError as error:
        sys.stderr.write(f"jobu: {error}\n")
        sys.exit(1)


def _log_to_stderr() -> None:
    """Keep standard output for results: warnings and worse go to stderr."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
