"""The run tags jobu writes; few, because many tags slow the Dagster UI."""

from __future__ import annotations

from typing import Final

LAUNCH: Final = "jobu/launch"
"""The launch token; a re-execution copies it and has a parent run as well."""
HANDLER: Final = "jobu/handler"
SOURCE: Final = "jobu/source"
"""``cron`` or ``event``."""
