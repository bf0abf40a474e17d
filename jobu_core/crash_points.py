"""Named places between two writes, where tests end the process to see what then holds.

A point is a name and nothing else: ``reach`` raises an audit event of Python's own
(PEP 578), which costs about 60 ns while nobody listens. In production nobody does:
nothing in jobu adds a hook, and no setting or variable can.
"""

from __future__ import annotations

import sys
from typing import Final, LiteralString

AUDIT_EVENT: Final = "jobu.crash_point"
"""What a hook (``sys.addaudithook``) has to look for; its one argument is the point's name."""


def reach(point: LiteralString) -> None:
    """Say that execution is at ``point``, ``area.what_was_just_done``; unique in the source.

    tests/crash has a case for each point in the source, and fails without one.
    """
    sys.audit(AUDIT_EVENT, point)
