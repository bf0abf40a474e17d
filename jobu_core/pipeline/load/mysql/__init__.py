"""Loads into MySQL and MariaDB: InnoDB tables, rows by LOAD DATA LOCAL or INSERT."""

from __future__ import annotations
