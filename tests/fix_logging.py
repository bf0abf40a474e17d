"""Each test leaves logging as it found it: a command run in a test logs to that test's stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Give structlog back its configuration, whose file may be closed with the test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
