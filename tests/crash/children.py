"""Processes that end at a crash point: real ones, forked from a server without any state."""

from __future__ import annotations

import multiprocessing
import traceback
from typing import TYPE_CHECKING, Any, Final

from tests.crash.killing import KILLED, die_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext
    from multiprocessing.process import BaseProcess

    from tests.crash.cases import Case

_DEADLINE_SECONDS: Final = 60.0


def die(case: Case, action: Callable[..., object], *arguments: object) -> None:
    """Do ``action`` in a process of its own that dies at the case's point.

    Fails when the point was not reached. ``action`` and ``arguments`` are pickled.
    """
    context = _server()
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_live, args=(theirs, case.point, case.visit, action, arguments))
    child.start()
    theirs.close()
    said = _last_words(ours)
    child.join(_DEADLINE_SECONDS)
    if child.is_alive():
        child.kill()
        child.join()
        said = "it neither ended nor died"
    assert child.exitcode == KILLED, f"{case.point} was not reached: {said}"


def start(action: Callable[..., object], *arguments: object) -> BaseProcess:
    """Do ``action`` in a process of its own that no crash point ends; the caller ends it."""
    child = _server().Process(target=action, args=arguments)
    child.start()
    return child


def _server() -> ForkServerContext:
    """Return the server that processes are forked from; what they need it imports once."""
    context = multiprocessing.get_context("forkserver")
    warm = ("dispatching", "site", "carrying")
    context.set_forkserver_preload([f"tests.crash.{name}" for name in warm])
    return context


def _live(
    told: Connection,
    point: str,
    visit: int,
    action: Callable[..., object],
    arguments: tuple[Any, ...],
) -> None:
    die_at(point, visit)
    try:
        action(*arguments)
    except BaseException:
        told.send(traceback.format_exc())
        raise
    told.send("the action came to its end")


def _last_words(connection: Connection) -> str:
    """Return what the child said before it ended; nothing if it was killed."""
    try:
        if connection.poll(_DEADLINE_SECONDS):
            return str(connection.recv())
    except EOFError:
        return ""
    return "it took too long"
