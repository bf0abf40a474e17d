"""The job store's time, set by the test: every transaction of ``engine`` sees it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator


class StoreTime:
    """What ``jobu_now()`` answers; moves only when told to."""

    def __init__(self, now: datetime) -> None:
        """Start at ``now``."""
        self.now = now

    def at(self, text: str) -> datetime:
        """Move to an ISO time of UTC and return it."""
        self.now = datetime.fromisoformat(text).replace(tzinfo=UTC)
        return self.now

    def forward(self, **duration: float) -> datetime:
        """Move on by a ``timedelta`` and return the new time."""
        self.now += timedelta(**duration)
        return self.now

    def apply(self, connection: sa.Connection) -> None:
        """Set ``jobu.now`` for the transaction that begins."""
        connection.execute(
            sa.text("SELECT set_config('jobu.now', :now, true)"),
            {"now": self.now.isoformat()},
        )


@pytest.fixture
def store_time(engine: sa.Engine) -> Iterator[StoreTime]:
    """Stop the store's time at the start of 2026-03-02 (a Monday), UTC."""
    stopped = StoreTime(datetime(2026, 3, 2, tzinfo=UTC))
    sa.event.listen(engine, "begin", stopped.apply)
    yield stopped
    sa.event.remove(engine, "begin", stopped.apply)
