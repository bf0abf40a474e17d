"""Wait for a condition outside this process, with a deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobu_core.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobu_core.clock import Clock

_POLL_SECONDS: Final = 0.02


def wait_until(
    check: Callable[[], bool],
    *,
    seconds: float,
    poll_seconds: float = _POLL_SECONDS,
    clock: Clock | None = None,
) -> bool:
    """Return True as soon as ``check`` holds, False when it did not within ``seconds``.

    ``check`` may raise to give up early.
    """
    watch = clock or SystemClock()
    deadline = watch.monotonic() + seconds
    while not check():
        if watch.monotonic() >= deadline:
            return False
        watch.sleep(poll_seconds)
    return True
