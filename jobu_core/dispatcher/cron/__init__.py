"""Cron rows: when they fire, which occurrences run, and the tick that decides."""

from __future__ import annotations
