"""One cut at each message of a conversation with the database, in each way."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from jobu_core.errors import Outage
from tests.fix_proxy import Cut, Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MOST_TURNS = 200


def cut_everywhere(
    proxy: Proxy,
    act: Callable[[], object],
    settle: Callable[[], object],
    arrange: Callable[[], object] = lambda: None,
    ways: Iterable[Cut] = (Cut.BEFORE, Cut.AFTER),
) -> int:
    """Call ``act`` under each possible cut and ``settle`` after each; returns the cuts.

    ``act`` may raise nothing but an Outage. ``arrange`` before it and ``settle``
    after it run on a sound connection; ``settle`` does what the next ticks would do,
    and audits. For most, half a message is as none: it is not among the ``ways``.
    """
    cuts = 0
    for how in ways:
        for turn in range(_MOST_TURNS):
            arrange()
            proxy.arm(turn, how)
            with contextlib.suppress(Outage):
                act()
            fired = proxy.disarm()
            try:
                settle()
            except AssertionError as error:
                error.add_note(f"the connection was cut {how} message {turn}")
                raise
            if not fired:
                break
            cuts += 1
        else:
            raise AssertionError(f"more than {_MOST_TURNS} messages")
    return cuts
