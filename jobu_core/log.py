"""How processes of jobu log: key=value lines on standard error, never on standard output.

Standard output belongs to commands' results and, inside a run, to the handler.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

from jobu_core.redaction import Redactor

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger


def configure_logging(level: int = logging.INFO, redact: Redactor = Redactor()) -> None:  # noqa: B008 - frozen
    """Send structlog's lines of ``level`` and above to standard error, without secrets.

    Called once by each entry point (worker, dispatcher, code server, command line).
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _Redacted(redact),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    for noisy in ("alembic", "dagster"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _Redacted:
    """Renders a line as key=value, then takes secrets out of it."""

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact
        self._render = structlog.processors.KeyValueRenderer(
            key_order=["timestamp", "level", "event"],
        )

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        return self._redact(self._render(logger, name, event))
