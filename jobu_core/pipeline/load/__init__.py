"""Parquet → a table of a target database, exactly once per execution."""

from __future__ import annotations
