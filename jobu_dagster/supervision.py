"""Wires the core's supervisor into Celery's main process."""

from __future__ import annotations

import os
import signal
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog
from celery.exceptions import OperationalError as BrokerError
from celery.worker import state

from jobu_core.clock import SystemClock
from jobu_core.errors import Outage
from jobu_core.execution.committed import committed_result
from jobu_core.execution.supervisor import ActiveTask, Supervisor, WorkerIdentity
from jobu_dagster.celery_app import QUEUE
from jobu_dagster.private import open_instance
from jobu_dagster.process import process
from jobu_dagster.runs import DagsterRunGateway

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

_log: Final = structlog.get_logger(__name__)
_JOIN_SECONDS: Final = 5.0


class _Main:
    """The worker's main process, as its forked children remember it."""

    id = ""


def remember_main() -> None:
    """Note that this process is the worker's main one; called before the first fork.

    Host name and pid do not tell workers apart: a container that starts again has
    both as before, and containers on the host's network share them. Two workers of
    one id would each write off what the other is executing.
    """
    _Main.id = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


def worker_id() -> str:
    """Return this worker's id, the same in its main process and in its children."""
    if not _Main.id:
        remember_main()
    return _Main.id


class _Supervision:
    """The supervisor thread of this main process."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._supervisor: Supervisor | None = None

    def start(self, app: Celery, hostname: str) -> None:
        """Start the thread; what escapes its loop ends this process."""
        self._app, self._hostname = app, hostname
        self._thread = threading.Thread(target=self._guard, name="jobu-supervisor", daemon=True)
        self._thread.start()

    def hand_back(self) -> None:
        """Stop the loop, then return running rows to PENDING and end their children."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=_JOIN_SECONDS)
        if self._supervisor is None:
            return
        try:
            count = self._supervisor.hand_back()
        except Outage as outage:
            _log.warning("rows stay with their lease", reason=str(outage))
            return
        _log.info("handed back", rows=count)

    def _guard(self) -> None:
        try:
            self._run()
        except BaseException:
            _log.exception("supervisor died; this worker must not live without it")
            os.kill(os.getpid(), signal.SIGKILL)
            raise

    def _run(self) -> None:
        self._supervisor = self._open()
        while not self._stop.is_set():
            self._turn(self._supervisor)

    def _turn(self, supervisor: Supervisor) -> None:
        """One pass; drain and end when launches are made for another code version."""
        try:
            supervisor.step()
            if not supervisor.draining and supervisor.should_drain():
                supervisor.draining = True
                _log.info("draining: launches are made for another code version")
                self._take_no_more()
            if supervisor.draining and not _active_tasks():
                os.kill(os.getpid(), signal.SIGTERM)
        except Outage as outage:
            _log.warning("supervisor waits", reason=str(outage))
        self._stop.wait(supervisor.settings.cancel_poll_seconds)

    def _take_no_more(self) -> None:
        """Stop this worker's own consumer, so that free slots leave tasks to the others."""
        try:
            self._app.control.cancel_consumer(QUEUE, destination=[self._hostname])
        except BrokerError as error:
            _log.warning("consumer not stopped", reason=type(error).__name__)

    def _open(self) -> Supervisor:
        while True:
            try:
                runtime = process().runtime()
                break
            except Outage as outage:
                _log.warning("supervisor waits for the job store", reason=str(outage))
                self._stop.wait(1.0)
        root = runtime.settings.root
        identity = WorkerIdentity(
            id=worker_id(),
            host=socket.gethostname(),
            main_pid=os.getpid(),
            slots=runtime.settings.worker.slots,
            code_version=runtime.registry.code_version,
        )
        return Supervisor(
            runtime.engine,
            runtime.settings.worker,
            identity,
            _active_tasks,
            DagsterRunGateway(open_instance(root), root, runtime.registry),
            SystemClock(),
            committed=partial(committed_result, process().execution()),
        )


def _active_tasks() -> Sequence[ActiveTask]:
    """Return what Celery's main process believes its children are doing."""
    return [
        ActiveTask(request.id, request.worker_pid)
        for request in list(state.active_requests)
        if request.worker_pid is not None
    ]


_supervision: Final = _Supervision()


def start_supervisor(app: Celery, hostname: str) -> None:
    """Begin supervising this process's children; ``hostname`` is Celery's name of the worker."""
    _supervision.start(app, hostname)


def stop_supervisor() -> None:
    """Hand back what is running; for a planned shutdown."""
    _supervision.hand_back()
