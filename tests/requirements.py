"""What a test needs from the machine: a visible skip, or a failure where CI demands it."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(service: str, reason: str) -> NoReturn:
    """Skip the test, or fail it when ``JOBU_REQUIRE_SERVICES`` names ``service`` or ``all``."""
    required = {name.strip() for name in os.environ.get("JOBU_REQUIRE_SERVICES", "").split(",")}
    text = f"{service} is not available: {reason}"
    if required & {"all", service}:
        pytest.fail(text, pytrace=False)
    pytest.skip(text)
