"""How a command reaches the job store."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from jobu_core.services.runtime import Runtime, open_runtime

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def open_store(*, kafka: bool = False) -> AbstractContextManager[Runtime]:
    """Open the project's runtime for one command; ``kafka`` also needs the broker."""
    return open_runtime(application_name="jobu-cli", kafka=kafka)


def operator() -> str:
    """Return who runs this command, for the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id may have no name
        return "unknown"
