"""Attempts: claimed, run, watched over, ended, tried again; every write fenced."""

from __future__ import annotations
