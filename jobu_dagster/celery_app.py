"""Celery's settings, the same for those who send runs and those who execute them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from celery import Celery

from jobu_core.services.endpoints import endpoints

if TYPE_CHECKING:
    from jobu_core.config import Settings

QUEUE: Final = "dagster"
RUN_TASK: Final = "jobu.run"
_SECONDS_TO_IMPORT: Final = 60.0


def make_app(settings: Settings) -> Celery:
    """Return a Celery app on the configured broker (Valkey or Redis).

    Tasks are acknowledged early and never redelivered: whether a run that died
    runs again is the reconciler's decision, made on the row. Results are ignored.
    """
    app = Celery("jobu", broker=endpoints(settings).broker_url, set_as_current=False)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_acks_late=False,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_concurrency=settings.worker.slots,
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=_SECONDS_TO_IMPORT,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
    )
    return app
