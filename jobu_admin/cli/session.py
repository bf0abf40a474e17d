"""How a command reaches the job store."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from jobu_core.config import load_settings
from jobu_core.handlers.registry import load_registry
from jobu_core.services.runtime import Runtime, open_runtime

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from jobu_core.config import Settings
    from jobu_core.handlers.registry import Registry


def open_store(*, kafka: bool = False) -> AbstractContextManager[Runtime]:
    """Open the project's runtime for one command; ``kafka`` also needs the broker."""
    return open_runtime(application_name="jobu-cli", kafka=kafka)


def load_declared() -> tuple[Settings, Registry]:
    """Return what the project declares, for a command that needs no job store."""
    settings = load_settings()
    return settings, load_registry(settings.handlers, settings.datasets, root=settings.root)


def operator() -> str:
    """Return who runs this command, for the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id may have no name
        return "unknown"
