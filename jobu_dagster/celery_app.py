"""Celery's settings, the same for those who send runs and those who execute them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from celery import Celery
from celery.exceptions import OperationalError as BrokerError

from jobu_core.services.endpoints import endpoints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobu_core.config import Settings

_log: Final = structlog.get_logger(__name__)
QUEUE: Final = "dagster"
RUN_TASK: Final = "jobu.run"
_SECONDS_TO_IMPORT: Final = 60.0
_ASK_SECONDS: Final = 2.0


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


def queued_messages(app: Celery) -> Sequence[bytes] | None:
    """Return the messages that wait for a worker, as they are; None without an answer."""
    with app.connection_for_read(connect_timeout=_ASK_SECONDS) as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=_ASK_SECONDS)
            messages: list[bytes] = connection.default_channel.client.lrange(QUEUE, 0, -1)
        except (BrokerError, *connection.connection_errors, *connection.channel_errors) as error:
            _log.warning("workers' queue not read", reason=type(error).__name__)
            return None
    return messages
