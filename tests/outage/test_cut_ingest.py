"""Ingest with its connections to the job store cut at every message (rules 1 and 5)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobu_core.store.engine import open_engine
from tests.fix_events import Events, event
from tests.fix_proxy import Cut
from tests.outage.sweep import cut_everywhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fix_proxy import Proxy


@pytest.fixture
def proxied(events: Events, proxy: Proxy, database_url: str) -> Iterator[Events]:
    """Return the same store and topic by way of the proxy."""
    engine = open_engine(proxy.url(database_url))
    yield replace(events, engine=engine)
    engine.dispose()


@pytest.mark.rule(1, 5)
@pytest.mark.parametrize("warm", [True, pytest.param(False, marks=pytest.mark.long)])
def test_each_message_is_written_once_wherever_the_connection_breaks(
    events: Events,
    proxied: Events,
    proxy: Proxy,
    *,
    warm: bool,
) -> None:
    """Two good messages and a bad one per cut: never lost, never doubled, never dead by outage."""
    sent = 0
    kept = proxied.ingest()

    def act() -> None:
        nonlocal sent
        proxied.send(event(params={"n": sent}), b"no event")
        proxied.send(event(params={"n": sent + 1}), partition=1)
        sent += 2
        if warm:
            kept.tick(0.01)
            return
        with proxied.ingest() as fresh:
            fresh.tick(0.01)

    def settle() -> None:
        ingest = kept if warm else proxied.ingest()
        for _ in range(20):  # a lock outlives its connection by a moment
            if events.ledger() < sent + sent // 2:
                ingest.tick(0.01)
        if not warm:
            ingest.close()
        assert sorted(each["n"] for each in events.params()) == list(range(sent))
        assert events.codes() == ["not_json"] * (sent // 2)
        assert events.positions() == {(1, 0): sent, (1, 1): sent // 2}
        assert events.ledger() == sent + sent // 2

    assert cut_everywhere(proxy, act, settle, ways=Cut) > 20
    kept.close()
