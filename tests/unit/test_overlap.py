"""Stages that run side by side lose nothing, keep the order and tell of failures."""

from __future__ import annotations

from contextvars import ContextVar
from threading import Event, current_thread
from typing import TYPE_CHECKING

import pytest

from jobu_core.pipeline.overlap import DEPTH, ahead, behind

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

LONG = 10.0
"""Seconds after which a thread that should have acted never will."""


class _BrokenError(Exception):
    """What the stage under test raises."""


def _numbers(end: int) -> Generator[int]:
    yield from range(end)


def _put_all(end: int, sink: Callable[[int], None]) -> None:
    with behind(sink) as put:
        for item in range(end):
            put(item)


def test_items_come_in_order_and_all_of_them() -> None:
    """A thousand items are the same thousand behind two threads."""
    written: list[int] = []
    with ahead(_numbers(1_000)) as items, behind(written.append) as put:
        for item in items:
            put(item)
    assert written == list(range(1_000))


def test_the_producer_is_never_far_ahead() -> None:
    """No more items than the queue holds, and the one in hand, are made before they are wanted."""
    made: list[int] = []
    full = Event()

    def endless() -> Generator[int]:
        number = 0
        while True:
            made.append(number)
            if len(made) > DEPTH:
                full.set()
            yield number
            number += 1

    with ahead(endless()) as items:
        assert full.wait(LONG)
        assert len(made) <= DEPTH + 1
        assert next(items) == 0


def test_what_the_producer_raises_comes_after_its_last_item() -> None:
    """The items before a failure are not lost to it."""

    def failing() -> Generator[int]:
        yield 1
        raise _BrokenError

    with ahead(failing()) as items:
        assert next(items) == 1
        with pytest.raises(_BrokenError):
            next(items)


def test_leaving_early_closes_the_producer() -> None:
    """A generator that holds a file lets it go when its consumer fails."""
    closed = Event()

    def holding() -> Generator[int]:
        try:
            yield from _numbers(1_000)
        finally:
            closed.set()

    def fail_after_one() -> None:
        with ahead(holding()) as items:
            next(items)
            raise _BrokenError

    with pytest.raises(_BrokenError):
        fail_after_one()
    assert closed.is_set()


def test_what_the_sink_raises_ends_the_writing() -> None:
    """Nothing more goes to a sink that failed, and its failure is the caller's."""
    taken: list[int] = []

    def sink(item: int) -> None:
        taken.append(item)
        raise _BrokenError

    with pytest.raises(_BrokenError):
        _put_all(1_000, sink)
    assert taken == [0]


def test_a_failure_of_the_last_item_is_told() -> None:
    """The end of the block waits for the sink and says what became of it."""

    def sink(item: int) -> None:
        if item == 1:
            raise _BrokenError

    with pytest.raises(_BrokenError):
        _put_all(2, sink)


def test_a_caller_that_fails_writes_no_more() -> None:
    """What waits for the sink is dropped when the caller fails."""
    go, taken = Event(), []

    def sink(item: int) -> None:
        assert go.wait(LONG)
        taken.append(item)

    def fail_in_the_middle() -> None:
        with behind(sink) as put:
            put(0)
            put(1)
            go.set()
            raise _BrokenError

    with pytest.raises(_BrokenError):
        fail_in_the_middle()
    assert taken in ([], [0], [0, 1])
    assert taken == sorted(taken)


def test_a_thread_knows_the_context_of_its_caller() -> None:
    """Log lines of a stage carry the execution they belong to."""
    execution: ContextVar[int] = ContextVar("execution")
    execution.set(7)
    seen: list[tuple[int, bool]] = []
    caller = current_thread()

    def sink(_: int) -> None:
        seen.append((execution.get(), current_thread() is caller))

    with behind(sink) as put:
        put(0)
    assert seen == [(7, False)]
