"""Tests see signals as a terminal gives them, also where a script started them by ``&``."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Do not let processes below inherit an ignored Ctrl-C: Dagster's would ignore SIGTERM too."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGQUIT) == signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
