"""Ends this process at a crash point; for child processes of the crash matrix only."""

from __future__ import annotations

import os
import sys
from typing import Final

from jobu_core.crash_points import AUDIT_EVENT

KILLED: Final = 137
"""Exit code of a process that ended at its crash point."""


def die_at(point: str, visit: int = 1) -> None:
    """End this process without any clean-up when ``point`` is reached the ``visit``-th time.

    Audit hooks cannot be taken away: call this in a process of its own.
    """
    visits = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal visits
        if event == AUDIT_EVENT and arguments == (point,):
            visits += 1
            if visits == visit:
                os._exit(KILLED)

    sys.addaudithook(hook)
