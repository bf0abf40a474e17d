"""The proxy that fails on demand, in front of the test's MariaDB and in its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.engine import make_url

from tests.fix_proxy import Link, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fix_mariadb import MariaDB

_CHUNK = 65536
_HEAD = 4


class _Packets:
    """Splits one direction of the protocol into packets: three bytes of length, a number."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the packets that are complete."""
        self._rest += chunk
        while len(self._rest) >= _HEAD:
            end = _HEAD + int.from_bytes(self._rest[:3], "little")
            if len(self._rest) < end:
                return
            packet, self._rest = self._rest[:end], self._rest[end:]
            yield packet


class MysqlProxy(Proxy):
    """Every packet of a client is a turn: a statement, and each piece of a LOAD DATA."""

    def url(self, direct: str) -> str:
        """Return the URL of the same database by way of the proxy."""
        made = make_url(direct).difference_update_query(["unix_socket"])
        made = made.set(host="127.0.0.1", port=self.port)
        return made.update_query_dict({"ssl_mode": "disabled"}).render_as_string(
            hide_password=False
        )

    def _ask(self, link: Link) -> None:
        packets = _Packets()
        while chunk := link.client.recv(_CHUNK):
            for packet in packets.feed(chunk):
                self._flows.wait()
                if not self._send(link, packet):
                    return

    def _answer(self, link: Link) -> None:
        """Carry the server's answers, unless one is to be lost: the first packet is its begin."""
        while chunk := link.server.recv(_CHUNK):
            self._flows.wait()
            if link.is_muted:
                return
            link.client.sendall(chunk)


@pytest.fixture
def mysql_proxy(mariadb: MariaDB) -> Iterator[MysqlProxy]:
    """Return a proxy in front of the test's MariaDB."""
    opened = MysqlProxy(str(mariadb.socket))
    yield opened
    opened.close()
