"""The Celery app of the warm workers: ``celery -A jobu_dagster.worker worker``.

Children execute runs; the supervisor thread lives in the main process, where a
handler that holds the GIL cannot stop it.
"""

from __future__ import annotations

import os
import signal
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import structlog
from celery import signals

from jobu_core.config import load_settings
from jobu_core.config.secrets import redactor_of
from jobu_core.execution.claim import stamp_launch
from jobu_core.log import configure_logging
from jobu_core.services.ensure import ensure_valkey
from jobu_dagster import tags
from jobu_dagster.celery_app import RUN_TASK, make_app
from jobu_dagster.private import execute_run, instance_from_text
from jobu_dagster.process import process
from jobu_dagster.supervision import (
    remember_main,
    start_supervisor,
    stop_supervisor,
    worker_id,
)

if TYPE_CHECKING:
    from dagster import DagsterInstance

_log: Final = structlog.get_logger(__name__)
_SETTINGS: Final = load_settings()
configure_logging(redact=redactor_of(_SETTINGS))
ensure_valkey(_SETTINGS)
app: Final = make_app(_SETTINGS)


@app.task(bind=True, name=RUN_TASK)
def run(self: Any, run_id: str, instance: str) -> int:  # noqa: ANN401 - Celery's task object
    """Execute one Dagster run in this child; the task's id is the run's id."""
    del self
    opened = _instance(instance)
    found = opened.get_run_by_id(run_id)
    if found is None:
        _log.warning("run of a task does not exist", run_id=run_id)
        return 1
    token = found.tags.get(tags.LAUNCH)
    if token is not None:
        stamp_launch(
            process().runtime().engine,
            UUID(token),
            run_id=run_id,
            worker_id=worker_id(),
            patience_seconds=_SETTINGS.worker.lease_seconds,
        )
    return execute_run(opened, run_id)


@lru_cache(maxsize=4)
def _instance(text: str) -> DagsterInstance:
    """Open each instance once per child; filled only in children."""
    return instance_from_text(text)


@signals.worker_init.connect
def _import_definitions(**_: Any) -> None:  # noqa: ANN401 - Celery's signal
    """Import all user code before the first fork: children start warm and share memory."""
    remember_main()
    import jobu_dagster.definitions  # noqa: F401, PLC0415 - imports the registry's modules


@signals.worker_process_init.connect
def _forget_inherited(**_: Any) -> None:  # noqa: ANN401 - Celery's signal
    """Let this child open its own connections; SIGINT is a hint to cancel."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@signals.worker_ready.connect
def _supervise(sender: Any, **_: Any) -> None:  # noqa: ANN401 - Celery's signal
    start_supervisor(app, sender.hostname)


@signals.worker_shutting_down.connect
def _hand_back(**_: Any) -> None:  # noqa: ANN401 - Celery's signal
    threading.Thread(target=stop_supervisor, name="jobu-hand-back").start()


@signals.worker_shutdown.connect
def _leave(**_: Any) -> None:  # noqa: ANN401 - Celery's signal
    _log.info("worker ends", pid=os.getpid())
