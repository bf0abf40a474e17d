"""Handlers that the crash cases execute, besides jobu's own."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from pydantic import BaseModel

from jobu_core.handlers.base import HandlerContext, Retry, handler


class Nothing(BaseModel):
    """No params."""


class Waiting(BaseModel):
    """Where to say that the handler runs, and what it waits for."""

    begun: str
    """A file that the handler makes."""
    go: str
    """A file that somebody else makes, its name followed by the attempt's number."""


@handler("second_time")
def second_time(context: HandlerContext, params: Nothing) -> dict[str, int]:
    """Succeed at the second attempt."""
    del params
    if context.attempt == 1:
        raise Retry(after=0)
    return {"attempt": context.attempt}


@handler("telling")
def telling(context: HandlerContext, params: Nothing) -> dict[str, int]:
    """Tell its progress."""
    del params
    context.progress({"done": 1})
    return {"attempt": context.attempt}


@handler("waiting")
def waiting(context: HandlerContext, params: Waiting) -> dict[str, int]:
    """Go on when told to."""
    Path(params.begun).touch()
    pause = Event()
    while not Path(f"{params.go}{context.attempt}").exists():
        pause.wait(0.01)
    return {"attempt": context.attempt}
