"""The job store restarted, killed, frozen, and its sessions ended, under a working system."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.adapter.memory import MemoryAdapter
from jobu_core.errors import Outage
from jobu_core.services.waiting import wait_until
from jobu_core.store.engine import open_engine, transaction
from jobu_core.store.migrate import migrate
from tests.crash.audit import audit
from tests.fix_events import GROUP, TOPIC, event
from tests.outage.little_system import LittleSystem
from tests.outage.server import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

pytestmark = pytest.mark.timeout(180)

_MESSAGES = 40
_SETTLED = """
SELECT (SELECT count(*) FROM job_executions WHERE finished_at IS NOT NULL)
     + (SELECT count(*) FROM dead_letters)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Start a PostgreSQL of this module's own."""
    with tempfile.TemporaryDirectory(prefix="jo") as name:
        folder = Path(name)
        folder.chmod(0o711)
        started = Postgres(folder)
        yield started
        started.stop(signal.SIGINT)


@pytest.fixture
def store(server: Postgres) -> Iterator[Engine]:
    """Return an empty job store on it."""
    engine = open_engine(server.url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    migrate(engine)
    yield engine
    engine.dispose()


def froze_for_a_lease(server: Postgres) -> None:
    """Freeze the server for longer than a lease, then let it go on."""
    server.pause()
    try:
        wait_until(lambda: False, seconds=3)
    finally:
        server.go_on()


FAULTS: dict[str, Callable[[Postgres], None]] = {
    "sessions ended": Postgres.end_backends,
    "fast restart": lambda server: server.restart(signal.SIGINT),
    "crash": lambda server: server.restart(signal.SIGQUIT),
    "kill -9": lambda server: server.restart(signal.SIGKILL),
    "frozen": froze_for_a_lease,
}


@pytest.mark.rule(1, 5, 7, 9, 10, 11, 12, 18)
@pytest.mark.parametrize(
    "fault",
    [
        "sessions ended",
        "crash",
        pytest.param("fast restart", marks=pytest.mark.long),
        pytest.param("kill -9", marks=pytest.mark.long),
        pytest.param("frozen", marks=pytest.mark.long),
    ],
)
def test_nothing_is_lost_or_doubled(
    server: Postgres,
    store: Engine,
    tmp_path: Path,
    fault: str,
) -> None:
    """Three times, while two of everything work: each message is one SUCCESS or dead letter."""
    system = LittleSystem(server.url, tmp_path)
    system.broker.create_topic(TOPIC, 2)
    system.start()
    sent: dict[bool, list[tuple[str, int, int]]] = {True: [], False: []}

    def send() -> None:
        for number in range(_MESSAGES):
            good, at = number % 8 != 0, number % 2
            value = event(params={"n": number}) if good else b"no event"
            ((_, offset),) = publish(system, value, at)
            sent[good].append((TOPIC, at, offset))

    def is_done() -> bool:
        return settled(store) == len(sent[True]) + len(sent[False])

    try:
        for _ in range(3):
            send()
            assert wait_until(system.has_worked, seconds=30)
            FAULTS[fault](server)
        assert wait_until(is_done, seconds=60, poll_seconds=0.1)
    finally:
        system.close()
    assert system.bugs == []
    assert fault == "frozen" or system.outages
    audit(store, good=sent[True], bad=sent[False])


def publish(system: LittleSystem, value: bytes, partition: int) -> list[tuple[int, int]]:
    """Put one message on the topic; return where it lies."""
    adapter = MemoryAdapter(system.broker, TOPIC, GROUP)
    return adapter.publish(TOPIC, [OutgoingMessage(value, partition=partition)])


def settled(store: Engine) -> int:
    """Count the messages that have come out; none while the store is away."""
    try:
        with transaction(store) as connection:
            return int(connection.scalar(sa.text(_SETTLED)) or 0)
    except Outage:
        return 0
