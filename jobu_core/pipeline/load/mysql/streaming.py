"""PyMySQL's connection with one change: LOAD DATA LOCAL reads from us, not from a file.

The server names the file it wants, and PyMySQL would open whatever it names: a
hostile server could ask for any file of the worker's, in answer to any statement.
Here nothing is ever opened. A name that was not offered ends the connection, and
without a FIFO there is no writer that waits for a reader that never comes.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pymysql import err
from pymysql.connections import Connection, MySQLResult

from jobu_core.errors import LoadRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Chunk = bytes | memoryview

_PREFIX: Final = "jobu:"


class StreamingConnection(Connection):
    """A connection whose LOAD DATA LOCAL is fed from memory."""

    _offered: tuple[str, Iterable[Chunk]] | None = None

    def offer(self, chunks: Iterable[Chunk]) -> str:
        """Return the name under which the next statement may ask for ``chunks``."""
        name = _PREFIX + secrets.token_hex(8)
        self._offered = (name, chunks)
        return name

    def withdraw(self) -> None:
        """Give nothing to a server that asks from now on."""
        self._offered = None

    def give(self, asked: str) -> None:
        """Send what was offered under that name, and the empty packet that ends it.

        Raises LoadRefused when nothing was, and what the chunks raise; both after
        the server has been told that no more comes.
        """
        offered, self._offered = self._offered, None
        try:
            if offered is None or offered[0] != asked:
                raise LoadRefused("the server asked for a file that was not offered to it")
            for chunk in offered[1]:
                if len(chunk):  # an empty one would mean the end
                    self.write_packet(chunk)
        finally:
            if self.open:  # else the connection was lost, and its error is on its way
                self.write_packet(b"")

    def _read_query_result(self, unbuffered: bool = False) -> int | None:
        self._result: MySQLResult | None = None
        result = _Result(self)
        if unbuffered:
            result.init_unbuffered_query()
        else:
            result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        return result.affected_rows


class _Result(MySQLResult):
    """The answer to a statement; a request for a file is answered by ``give``."""

    connection: StreamingConnection | None

    def _read_load_local_packet(self, first_packet: Any) -> None:  # noqa: ANN401 - PyMySQL's packet
        connection = self.connection
        assert connection is not None  # noqa: S101 - narrows; it is dropped after the read
        read_packet: Callable[[], Any] = connection._read_packet  # noqa: SLF001 - there is no other
        asked = bytes(first_packet.get_all_data()[1:]).decode("utf-8", "replace")
        try:
            connection.give(asked)
        except BaseException:
            if connection.open:
                with suppress(err.Error):  # what stopped us says more
                    read_packet()
            raise
        self._read_ok_packet(read_packet())  # type: ignore[attr-defined]  # not in the stubs
