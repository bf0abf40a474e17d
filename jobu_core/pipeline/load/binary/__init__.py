"""Rows in the binary format of PostgreSQL's COPY, made by columns and not by rows."""

from __future__ import annotations
