"""An interrupt is a hint: only the row says whether an attempt must stop (rule 13)."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jobu_core.errors import Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobu_core.store.transitions import Lease


class Stopped(BaseException):
    """Raised inside a handler whose row asks to stop; handlers must not catch it."""

    def __init__(self, lease: Lease) -> None:
        """Keep why: a cancel, or the deadline."""
        super().__init__("cancel requested" if lease.cancel_requested else "deadline passed")
        self.lease = lease


@contextmanager
def judged_interrupts(read_lease: Callable[[], Lease]) -> Iterator[None]:
    """While a handler runs, let SIGINT and SIGTERM stop it only if its row says so.

    A stray signal, or one meant for the run before, changes nothing. Does nothing
    outside the main thread, where Python delivers no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def judge(_number: int, _frame: Any) -> None:  # noqa: ANN401 - a frame
        try:
            lease = read_lease()
        except Outage:
            return
        if lease.cancel_requested or lease.deadline_passed:
            raise Stopped(lease)

    before = {number: signal.signal(number, judge) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
