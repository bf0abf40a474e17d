"""Fixture plugins; each module says what it starts."""

from __future__ import annotations

pytest_plugins = ["tests.fix_kafka", "tests.fix_postgres"]
