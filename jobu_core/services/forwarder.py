"""A TCP forwarder that speaks just enough Kafka to put its own address into answers.

librdkafka's mock broker listens on a random port and tells clients to connect there.
Clients learn addresses from Metadata and FindCoordinator responses only; those are
rewritten, every other byte passes as it is.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

_METADATA: Final = 3
_FIND_COORDINATOR: Final = 10
_MAX_FRAME: Final = 128 * 1024 * 1024
_HEADER: Final = struct.Struct(">hhi")
_SIZE: Final = struct.Struct(">i")
_LONG_VARINT: Final = 0x80


@dataclass(frozen=True, slots=True)
class Identity:
    """What a broker says of itself."""

    host: str
    port: int
    cluster_id: str


def readdress(response: bytes, actual: Identity, shown: Identity) -> bytes:
    """Return a response with the ``shown`` address and cluster id for the ``actual`` ones.

    Strings occur with a 16-bit length, or in flexible versions with a varint of
    length + 1; a port follows its host.
    """
    for encode in (_classic, _compact):
        response = response.replace(
            encode(actual.host) + _SIZE.pack(actual.port),
            encode(shown.host) + _SIZE.pack(shown.port),
        )
        response = response.replace(encode(actual.cluster_id), encode(shown.cluster_id))
    return response


class Forwarder:
    """Accepts clients and connects each to the broker behind."""

    def __init__(self, actual: Identity, shown: Identity) -> None:
        """Forward to ``actual``, and let clients see ``shown``."""
        self._actual = actual
        self._shown = shown

    async def serve(self, listeners: Sequence[socket.socket], stop: asyncio.Event) -> None:
        """Forward until ``stop`` is set; open connections are cut then."""
        servers = [await asyncio.start_server(self._client, sock=each) for each in listeners]
        await stop.wait()
        for server in servers:
            server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await self._join(reader, writer)
        writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(
            self._actual.host,
            self._actual.port,
        )
        asked: set[int] = set()
        tasks = [
            asyncio.create_task(_requests(reader, behind_writer, asked)),
            asyncio.create_task(self._responses(behind_reader, writer, asked)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            behind_writer.close()

    async def _responses(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: set[int],
    ) -> None:
        while (frame := await _read_frame(reader)) is not None:
            (correlation,) = _SIZE.unpack_from(frame)
            if correlation in asked:
                asked.discard(correlation)
                frame = readdress(frame, self._actual, self._shown)
            await _write_frame(writer, frame)


async def _requests(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    asked: set[int],
) -> None:
    """Pass requests on, noting those whose answer holds an address."""
    while (frame := await _read_frame(reader)) is not None:
        if len(frame) < _HEADER.size:
            return
        api_key, _, correlation = _HEADER.unpack_from(frame)
        if api_key in {_METADATA, _FIND_COORDINATOR}:
            asked.add(correlation)
        await _write_frame(writer, frame)


async def _read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next frame; None at the end, or when this is not Kafka."""
    try:
        (size,) = _SIZE.unpack(await reader.readexactly(_SIZE.size))
        if not _SIZE.size <= size <= _MAX_FRAME:
            return None
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, OSError):
        return None


async def _write_frame(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(_SIZE.pack(len(frame)))
    writer.write(frame)
    await writer.drain()


def _classic(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def _compact(text: str) -> bytes:
    raw = text.encode()
    length = len(raw) + 1
    if length < _LONG_VARINT:
        return bytes([length]) + raw
    return bytes([length & 0x7F | _LONG_VARINT, length >> 7]) + raw
