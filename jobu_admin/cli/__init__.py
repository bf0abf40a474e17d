"""The ``jobu`` command: one module per noun, errors as one line."""

from __future__ import annotations

import importlib.util
import logging
import sys
from importlib import import_module
from typing import Final

import structlog
import typer

from jobu_core.errors import JobuError

__all__ = ["build_app", "main"]

_NOUNS: Final = (
    ("cron", "cron"),
    ("executions", "executions"),
    ("events", "events"),
    ("dead-letters", "dead_letters"),
)
_COMMANDS: Final = ("stack", "parts")


def build_app() -> typer.Typer:
    """Assemble the command from its modules."""
    app = typer.Typer(
        name="jobu",
        help="Cron jobs and Kafka events on Dagster.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    for module in _COMMANDS:
        if _exists(module):
            import_module(f"jobu_admin.cli.{module}").register(app)
    for name, module in _NOUNS:
        if _exists(module):
            app.add_typer(import_module(f"jobu_admin.cli.{module}").app, name=name)
    return app


def main() -> None:
    """Run the command; a JobuError becomes one line on stderr and exit code 1."""
    _log_to_stderr()
    try:
        build_app()()
    except JobuError as error:
        sys.stderr.write(f"jobu: {error}\n")
        sys.exit(1)


def _exists(module: str) -> bool:
    return importlib.util.find_spec(f"jobu_admin.cli.{module}") is not None


def _log_to_stderr() -> None:
    """Keep standard output for results: warnings and worse go to stderr."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
