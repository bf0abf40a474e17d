"""A PostgreSQL that a test may kill and start again, run as the embedded one is."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, LiteralString
from urllib.parse import quote

import psutil
import psycopg

from jobu_core.services import postgres
from jobu_core.services.layout import Layout
from jobu_core.services.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

_START_SECONDS = 30.0
_END_BACKENDS: LiteralString = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


class Postgres:
    """One server on a Unix socket in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Make the cluster and start it."""
        self._layout = Layout(root=folder, state=folder / "state", run=folder / "run")
        self._layout.prepare()
        self._server: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Return the URL of the job store's database."""
        sockets = quote(str(self._layout.postgres_sockets), safe="/")
        return f"postgresql://jobu@/jobu?host={sockets}"

    def start(self) -> None:
        """Start the server; a killed one's last processes may have to end first."""
        assert wait_until(self._starts, seconds=_START_SECONDS, poll_seconds=0.1)

    def _starts(self) -> bool:
        postgres.prepare(self._layout)
        program = postgres.program(self._layout)
        log = (self._layout.logs / "postgres.log").open("ab")
        with log:
            self._server = subprocess.Popen(
                program.command,
                cwd="/",
                user=program.user,
                stdout=log,
                stderr=log,
            )
        server = self._server
        wait_until(
            lambda: server.poll() is not None or postgres.ready(self._layout),
            seconds=_START_SECONDS,
        )
        return server.poll() is None

    def stop(self, number: signal.Signals) -> None:
        """End the server: SIGINT is a restart's way, SIGQUIT a crash's, SIGKILL the worst."""
        assert self._server is not None
        self._server.send_signal(number)
        self._server.wait(_START_SECONDS)

    def restart(self, number: signal.Signals) -> None:
        """End the server in the given way and start it again."""
        self.stop(number)
        self.start()

    def end_backends(self) -> None:
        """Break every session, as an administrator or a failover does."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(_END_BACKENDS)

    def pause(self) -> None:
        """Let no session go on, and break none: a machine that hangs."""
        self._signal_all(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the sessions go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._server is not None
        main = psutil.Process(self._server.pid)
        for process in (main, *main.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # a session ends as it likes
                process.send_signal(number)
