"""What a script started by ``&`` ignores is not ignored by what jobu starts."""

from __future__ import annotations

import signal
import subprocess
import sys

ASK = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
IGNORING = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
    " os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


def _answer(*before: str) -> str:
    command = [sys.executable, "-c", IGNORING, *before, "-c", ASK]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_an_ignored_interrupt_is_restored() -> None:
    """Without the module in between, the program would go on ignoring it."""
    assert _answer() == "False"
    assert _answer("-m", "jobu_core.services.plain_signals") == "True"


def test_tests_do_not_ignore_an_interrupt() -> None:
    """Processes that tests start end by SIGTERM, whoever started the tests."""
    assert signal.getsignal(signal.SIGINT) != signal.SIG_IGN
