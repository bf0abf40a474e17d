"""Attempts without a job store: load requests, and contexts for handlers."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import structlog

from bench import data
from bench.server import TARGET
from jobu_core.config import HandlersSettings
from jobu_core.handlers.base import HandlerContext
from jobu_core.handlers.registry import load_registry
from jobu_core.pipeline.load.identifiers import parse_table
from jobu_core.pipeline.load.request import LoadRequest
from jobu_core.pipeline.load.source import ParquetInput
from jobu_core.pipeline.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

    from jobu_core.handlers.registry import Registry
    from jobu_core.pipeline.load.request import Mode

INSTALLATION: Final = "11111111-2222-3333-4444-555555555555"
NOON: Final = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def load_request(path: Path, url: str, mode: Mode, execution_id: int) -> LoadRequest:
    """Return the request that a first attempt would make."""
    return LoadRequest(
        input=ParquetInput(path, "0" * 64),
        target=parse_table(TARGET),
        url=url,
        mode=mode,
        installation=INSTALLATION,
        root_execution_id=execution_id,
        execution_id=execution_id,
        attempt=1,
        effective_time=NOON + dt.timedelta(seconds=execution_id),
        params_sha256="0" * 64,
        check_lease=lambda: None,
    )


def registry() -> Registry:
    """Return the built-in handlers, the bench's model and its table."""
    settings = HandlersSettings(modules=(data.__name__,), free_tables=(f"default.public.{TARGET}",))
    return load_registry(settings, {})


def context(known: Registry, folder: Path, url: str, execution_id: int) -> HandlerContext:
    """Return the context of a first attempt whose data root is ``folder``."""
    work_dir = folder / "work" / str(execution_id) / "1"
    work_dir.mkdir(parents=True)
    return HandlerContext(
        execution_id=execution_id,
        root_execution_id=execution_id,
        attempt=1,
        params={},
        logger=structlog.wrap_logger(structlog.ReturnLogger()),
        deadline=None,
        scheduled_time=None,
        interval_start=None,
        interval_end=None,
        effective_time=NOON + dt.timedelta(seconds=execution_id),
        progress=lambda _values: None,
        check_lease=lambda: None,
        emit=lambda _made: None,
        databases={"default": url},
        paths=Paths({"/data": folder}, folder),
        datasets=known.datasets,
        models=known.models,
        work_dir=work_dir,
        installation=INSTALLATION,
        free_tables=known.free_tables,
    )
