"""Two stages of one stream at the same time, each in a thread of its own.

Arrow, sockets and files release the GIL, so that reading, checking and writing go
side by side. What a user wrote (validators, transforms) stays in the caller's
thread, where a cancel reaches it. Little is queued: memory is bounded by
``DEPTH`` items for each border between two stages.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

DEPTH: Final = 2
"""Items that wait between two stages."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class _End:
    """The last thing in a queue."""

    failure: BaseException | None = None


@contextmanager
def ahead(items: Generator[_Item], *, depth: int = DEPTH) -> Iterator[Iterator[_Item]]:
    """Produce ``items`` in a thread, at most ``depth`` before they are asked for.

    What the generator raises comes out where its next item would have. Leaving the
    block early ends the generator after its current item, and closes it.
    """
    queue: Queue[_Item | _End] = Queue(depth)
    stop = Event()

    def produce() -> None:
        end = _End()
        try:
            for item in items:
                if stop.is_set():
                    break
                queue.put(item)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            end = _End(error)
        finally:
            items.close()
        if not stop.is_set():
            queue.put(end)

    thread = _started(produce, "ahead")
    try:
        yield _until_end(queue)
    finally:
        stop.set()
        _emptied(queue)
        thread.join()


@contextmanager
def behind(
    sink: Callable[[_Item], None], *, depth: int = DEPTH
) -> Iterator[Callable[[_Item], None]]:
    """Call ``sink`` in a thread with everything that is put; all of it before the block ends.

    What the sink raises comes out of the next put, or of the block's end; nothing
    is given to it after that, nor after the block failed.
    """
    line = Behind(sink, depth=depth)
    try:
        yield line.put
    except BaseException:
        line.drop()
        raise
    line.finish()


class Behind(Generic[_Item]):
    """A sink that is called in a thread of its own."""

    def __init__(self, sink: Callable[[_Item], None], *, depth: int = DEPTH) -> None:
        """Start the thread; ``finish`` or ``drop`` ends it."""
        self._sink = sink
        self._queue: Queue[_Item | _End] = Queue(depth)
        self._failure: BaseException | None = None
        self._dropped = False
        self._thread = _started(self._consume, "behind")

    def put(self, item: _Item) -> None:
        """Give an item to the sink soon; raises what the sink raised before."""
        if self._failure is not None:
            raise self._failure
        self._queue.put(item)

    def finish(self) -> None:
        """Return when the sink has had everything; raises what it raised."""
        self._end()
        if self._failure is not None:
            raise self._failure

    def drop(self) -> None:
        """Give the sink nothing more, and return when it is at rest."""
        self._dropped = True
        self._end()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._queue.put(_End())
            self._thread.join()

    def _consume(self) -> None:
        while not isinstance(item := self._queue.get(), _End):
            if self._failure is not None or self._dropped:
                continue
            try:
                self._sink(item)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                self._failure = error


def _started(run: Callable[[], None], name: str) -> Thread:
    """Start a thread that logs what its caller logs."""
    thread = Thread(target=copy_context().run, args=(run,), name=f"jobu-{name}", daemon=True)
    thread.start()
    return thread


def _until_end(queue: Queue[_Item | _End]) -> Iterator[_Item]:
    while not isinstance(item := queue.get(), _End):
        yield item
    if item.failure is not None:
        raise item.failure


def _emptied(queue: Queue[_Item | _End]) -> None:
    """Make room for the one item that may still be on its way."""
    try:
        while True:
            queue.get_nowait()
    except Empty:
        return
