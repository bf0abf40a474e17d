"""A TCP proxy in front of the test's PostgreSQL that fails on demand; starts only threads.

It knows where one message of the client ends and the next begins, so that a test
can cut the connection at each of them: before it arrives, half way, or after the
server has obeyed and before it answers.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy.engine import URL, make_url

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK: Final = 65536
_TURN_ENDS: Final = frozenset(b"QSHXcfp")
"""Query, Sync, Flush, Terminate, CopyDone, CopyFail, password: the server's turn begins."""
_ANSWER_ENDS: Final = frozenset(b"ZG")
"""ReadyForQuery, or CopyInResponse: the client's turn begins."""


class Cut(StrEnum):
    """What is lost with the connection."""

    BEFORE = "before"
    """The message: the server never hears it."""
    TORN = "torn"
    """The second half of the message."""
    AFTER = "after"
    """The answer: the server has obeyed and nobody knows."""


class _Framer:
    """Splits one direction of the protocol into messages; ``untyped``: a startup comes first."""

    def __init__(self, *, untyped: bool) -> None:
        self._rest = b""
        self._untyped = untyped

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Return the complete messages as (type, all bytes); the startup has type 0."""
        self._rest += chunk
        while True:
            head = 0 if self._untyped else 1
            if len(self._rest) < head + 4:
                return
            (size,) = struct.unpack_from("!I", self._rest, head)
            if len(self._rest) < head + size:
                return
            message, self._rest = self._rest[: head + size], self._rest[head + size :]
            yield (message[0] if head else 0), message
            self._untyped = False


class Link:
    """One client's connection and the server's end of it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        """Join both ends."""
        self.client, self.server = client, server
        self.is_muted = False

    def end(self) -> None:
        """Break both ends at once."""
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Listens on a port of its own; every method may be called while traffic flows."""

    def __init__(self, upstream: str) -> None:
        """Forward to the PostgreSQL that listens on the Unix socket ``upstream``."""
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.RLock()
        self._links: set[Link] = set()
        self._flows = threading.Event()
        self._flows.set()
        self._refuses = False
        self._armed: tuple[int, Cut] | None = None
        self._needle: bytes | None = None
        self.turns = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def url(self, direct: str) -> str:
        """Return the URL of the same database by way of the proxy."""
        made: URL = make_url(direct).difference_update_query(["host"])
        made = made.set(host="127.0.0.1", port=self.port)
        made = made.update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
        return made.render_as_string(hide_password=False)

    def arm(self, turn: int, how: Cut) -> None:
        """Cut one connection at the ``turn``-th message of clients from now on."""
        with self._lock:
            self.turns = 0
            self._armed = (turn, how)

    def arm_at(self, text: bytes, how: Cut) -> None:
        """Cut one connection at the next message of a client that holds ``text``."""
        with self._lock:
            self._needle, self._armed = text, (-1, how)

    def disarm(self) -> bool:
        """Let everything pass again; returns whether the cut has happened."""
        with self._lock:
            fired, self._armed, self._needle = self._armed is None, None, None
            return fired

    def cut(self) -> None:
        """Break every connection that is open now."""
        with self._lock:
            links, self._links = self._links, set()
        for link in links:
            link.end()

    def refuse(self) -> None:
        """Be as good as gone: break what is open, and every new connection."""
        self._refuses = True
        self.cut()

    def accept(self) -> None:
        """Serve again."""
        self._refuses = False

    def stall(self) -> None:
        """Let nothing through, and keep connections open, as a dead network does."""
        self._flows.clear()

    def flow(self) -> None:
        """Let go what was held back, and all that follows."""
        self._flows.set()

    def close(self) -> None:
        """End the proxy and everything that goes through it."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.flow()
        self.cut()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refuses:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._upstream)
            except OSError:  # the server is being restarted
                client.close()
                server.close()
                continue
            link = Link(client, server)
            with self._lock:
                self._links.add(link)
            for pump in (self._ask, self._answer):
                threading.Thread(target=self._pump, args=(pump, link), daemon=True).start()

    def _pump(self, pump: object, link: Link) -> None:
        assert callable(pump)
        try:
            pump(link)
        except OSError:
            pass  # one end is gone, and so the other shall be
        finally:
            link.end()
            with self._lock:
                self._links.discard(link)

    def _ask(self, link: Link) -> None:
        """Carry the client's messages, turn by turn."""
        framer, turn = _Framer(untyped=True), b""
        while chunk := link.client.recv(_CHUNK):
            for kind, message in framer.feed(chunk):
                turn += message
                if kind == 0 or kind in _TURN_ENDS:
                    self._flows.wait()
                    if not self._send(link, turn):
                        return
                    turn = b""

    def _send(self, link: Link, turn: bytes) -> bool:
        """Forward one turn, or cut; says whether the connection goes on."""
        with self._lock:
            number, self.turns = self.turns, self.turns + 1
            how = self._armed[1] if self._armed and self._is_meant(number, turn) else None
            if how is not None:
                self._armed = self._needle = None
            link.is_muted = how is Cut.AFTER
        if how is Cut.BEFORE:
            return False
        link.server.sendall(turn[: len(turn) // 2] if how is Cut.TORN else turn)
        return how is not Cut.TORN

    def _is_meant(self, number: int, turn: bytes) -> bool:
        if self._needle is not None:
            return self._needle in turn
        return self._armed is not None and self._armed[0] == number

    def _answer(self, link: Link) -> None:
        """Carry the server's answers, unless this one is to be lost."""
        framer = _Framer(untyped=False)
        while chunk := link.server.recv(_CHUNK):
            self._flows.wait()
            kinds = [kind for kind, _ in framer.feed(chunk)]
            if not link.is_muted:
                link.client.sendall(chunk)
            elif any(kind in _ANSWER_ENDS for kind in kinds):
                return


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    """Return a proxy in front of the test's PostgreSQL."""
    folder = make_url(postgres_url).query["host"]
    assert isinstance(folder, str)
    opened = Proxy(f"{folder}/.s.PGSQL.5432")
    yield opened
    opened.close()
