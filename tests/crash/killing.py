"""Ends this process at a crash point; for child processes of the crash matrix only."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from jobu_core.crash_points import AUDIT_EVENT

if TYPE_CHECKING:
    from pathlib import Path

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


def die_when_armed(point: str, trigger: Path) -> None:
    """End the process that reaches ``point`` while the file ``trigger`` is there, and one only.

    For processes that fork and are started anew: who removes the file is the one to die.
    """

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event != AUDIT_EVENT or arguments != (point,):
            return
        try:
            trigger.unlink()
        except FileNotFoundError:
            return
        os._exit(KILLED)

    sys.addaudithook(hook)
