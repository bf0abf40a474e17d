"""Become another Python program, with SIGINT and SIGQUIT as a terminal gives them.

A script that starts something by ``&`` lets it ignore both, and so does every process
below it. Dagster's servers take SIGTERM to mean what SIGINT means to them: they would
ignore it, and could only be killed.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Replace this process by ``python`` with the arguments given."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main()
