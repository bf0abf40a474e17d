"""Fixture plugins; each module says what it starts."""

from __future__ import annotations

pytest_plugins = [
    "tests.fix_cron",
    "tests.fix_events",
    "tests.fix_host",
    "tests.fix_kafka",
    "tests.fix_kafka_events",
    "tests.fix_load",
    "tests.fix_logging",
    "tests.fix_mariadb",
    "tests.fix_mysql_proxy",
    "tests.fix_postgres",
    "tests.fix_project",
    "tests.fix_proxy",
    "tests.fix_runs",
    "tests.fix_s3",
    "tests.fix_signals",
    "tests.fix_simulation",
    "tests.fix_stack",
    "tests.fix_store_time",
    "tests.fix_aftermath",
    "tests.grouping",
    "tests.fix_worker",
    "tests.fix_world",
    "tests.fix_dispatching",  # last: it uses others as plain modules
    "tests.fix_containers",  # likewise
]
