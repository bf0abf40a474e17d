"""A session lock has one holder, and ends with its connection."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.errors import StoreUnavailable
from jobu_core.store.engine import open_engine, transaction
from jobu_core.store.locks import SessionLock, lock_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


@pytest.fixture
def first(engine: Engine) -> Iterator[SessionLock]:
    """Return one contender; its connection is closed at the end."""
    lock = SessionLock(engine, "ingest", "g", "t")
    yield lock
    lock.release()


@pytest.fixture
def second(engine: Engine) -> Iterator[SessionLock]:
    """Return another contender for the same lock."""
    lock = SessionLock(engine, "ingest", "g", "t")
    yield lock
    lock.release()


def _cut(engine: Engine) -> None:
    """End every lock connection on the server's side."""
    with transaction(engine) as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'jobu-lock' AND datname = current_database()",
            ),
        )


def test_only_one_holds_it(first: SessionLock, second: SessionLock) -> None:
    """Until released; holding twice is holding once."""
    assert first.hold()
    assert first.hold()
    assert not second.hold()
    first.release()
    first.release()
    assert second.hold()
    assert not first.hold()
    assert (first.is_held, second.is_held) == (False, True)


def test_other_names_are_other_locks(engine: Engine, first: SessionLock) -> None:
    """Another topic does not wait for this one; words do not run together."""
    assert first.hold()
    other = SessionLock(engine, "ingest", "g", "other")
    assert other.hold()
    other.release()
    assert lock_key("a", "bc") != lock_key("ab", "c")


def test_a_waiting_contender_gets_it_when_it_is_free(
    first: SessionLock,
    second: SessionLock,
) -> None:
    """The wait ends with the release, not with the timeout."""
    assert first.hold()
    assert not second.hold(wait_seconds=0.05)
    releaser = threading.Timer(0.2, first.release)
    releaser.start()
    assert second.hold(wait_seconds=30)
    releaser.join()


def test_a_lock_lost_with_its_connection_is_noticed(
    engine: Engine,
    first: SessionLock,
    second: SessionLock,
) -> None:
    """The other may have it at once; the first sees that it is gone, and how often it had it."""
    assert first.hold()
    assert first.takes == 1
    _cut(engine)
    assert second.hold()
    assert not first.hold()
    second.release()
    assert first.hold()
    assert first.takes == 2


def test_it_is_held_outside_any_transaction(engine: Engine, first: SessionLock) -> None:
    """An idle transaction would keep the whole database from cleaning up."""
    assert first.hold()
    with transaction(engine) as connection:
        states = connection.scalars(
            sa.text(
                "SELECT state FROM pg_stat_activity WHERE application_name = 'jobu-lock'"
                " AND datname = current_database()",
            ),
        )
        assert list(states) == ["idle"]


def test_an_unreachable_store_is_an_outage() -> None:
    """No lock, no crash, and no password in the message."""
    engine = open_engine("postgresql://u:hunter2@127.0.0.1:1/x")
    with pytest.raises(StoreUnavailable) as caught:
        SessionLock(engine, "ingest").hold()
    assert "hunter2" not in str(caught.value)
    engine.dispose()
