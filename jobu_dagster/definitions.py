"""Everything Dagster loads: lists and wiring. Reads configuration, no database."""

from __future__ import annotations

import dagster as dg

from jobu_core.config import load_settings
from jobu_core.config.secrets import redactor_of
from jobu_core.handlers.registry import Registry, load_registry
from jobu_core.log import configure_logging
from jobu_dagster.assets import build_assets
from jobu_dagster.checks import build_checks
from jobu_dagster.jobs import build_jobs
from jobu_dagster.schedules import build_schedules
from jobu_dagster.sensors import build_sensors


def build_definitions(registry: Registry) -> dg.Definitions:
    """Return the definitions for what is registered."""
    jobs = build_jobs(registry)
    return dg.Definitions(
        assets=build_assets(registry.datasets.values()),
        asset_checks=build_checks(registry.datasets.values()),
        jobs=jobs,
        schedules=build_schedules(job for job in jobs if job.name in registry.names),
        sensors=build_sensors(jobs),
        executor=dg.in_process_executor,
    )


_settings = load_settings()
configure_logging(redact=redactor_of(_settings))
defs = build_definitions(
    load_registry(_settings.handlers, _settings.datasets, root=_settings.root),
)
