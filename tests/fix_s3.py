"""A local S3 server (moto) as a process, and a proxy before it that fails on demand."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import boto3
import pytest
from pydantic import SecretStr

from jobu_core.config import BucketSettings
from jobu_core.pipeline.places.buckets import Buckets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY: Final = Path(__file__).resolve().parent.parent
_CHUNK: Final = 1 << 16
KEY_ID: Final = "AKIATESTTESTTESTTEST"
SECRET: Final = "not/a/secret/of/anybody/at/all"  # noqa: S105 - the local server takes any


class CuttingProxy:
    """Forwards TCP; every method may be called while traffic flows."""

    def __init__(self, host: str, port: int) -> None:
        """Forward to ``host:port`` from a port of its own."""
        self._upstream = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.RLock()
        self._open: set[socket.socket] = set()
        self._flows = threading.Event()
        self._flows.set()
        self._refuses = False
        self._needle: bytes | None = None
        self._act: Callable[[], object] | None = None
        self._answers_left: int | None = None
        self.cuts = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Return the URL of the server by way of the proxy."""
        return f"http://127.0.0.1:{self.port}"

    def refuse(self) -> None:
        """Be as good as gone: break what is open, and every new connection."""
        self._refuses = True
        self._break()

    def accept(self) -> None:
        """Serve again, whole."""
        self._refuses = False
        self._needle = self._answers_left = None

    def cut_at(self, text: bytes) -> None:
        """Break every connection whose client says ``text``, before the server hears it."""
        self._needle, self._act = text, None

    def call_at(self, text: bytes, act: Callable[[], object]) -> None:
        """Do something, once, when a client says ``text``; it is passed on afterwards."""
        self._needle, self._act = text, act

    def cut_answers_after(self, count: int) -> None:
        """Break everything once so many further bytes of answers went through."""
        self._answers_left = count

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
        self._break()
        self._thread.join(5)

    def _break(self) -> None:
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refuses:
                client.close()
                continue
            server = socket.create_connection(self._upstream)
            with self._lock:
                self._open |= {client, server}
            for pump in (self._ask, self._answer):
                threading.Thread(target=self._run, args=(pump, client, server), daemon=True).start()

    def _run(self, pump: Any, client: socket.socket, server: socket.socket) -> None:  # noqa: ANN401 - one of the two below
        with contextlib.suppress(OSError):
            pump(client, server)
        for end in (client, server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with self._lock:
            self._open -= {client, server}

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        while chunk := client.recv(_CHUNK):
            self._flows.wait()
            if self._needle is not None and self._needle in chunk:
                self.cuts += 1
                if self._act is None:
                    return
                self._needle, act = None, self._act
                act()
            server.sendall(chunk)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        while chunk := server.recv(_CHUNK):
            self._flows.wait()
            if self._answers_left is not None:
                chunk = chunk[: self._answers_left]
                self._answers_left -= len(chunk)
            client.sendall(chunk)
            if self._answers_left == 0:
                self.cuts += 1
                return


@dataclass(frozen=True)
class S3:
    """A bucket of one test, as somebody else sees it: by another client than jobu's."""

    endpoint: str
    bucket: str
    client: Any

    def settings(self, **changes: Any) -> BucketSettings:  # noqa: ANN401 - fields of the settings
        """Return how jobu reaches the bucket."""
        fields: dict[str, Any] = {
            "endpoint_url": self.endpoint,
            "access_key": KEY_ID,
            "secret_key": SecretStr(SECRET),
            "connect_timeout_seconds": 2,
            "request_timeout_seconds": 5,
            "max_attempts": 2,
        }
        return BucketSettings(**(fields | changes))

    def buckets(self, **changes: Any) -> Buckets:  # noqa: ANN401 - idem
        """Return jobu's view of it."""
        return Buckets({self.bucket: self.settings(**changes)})

    def url(self, key: str) -> str:
        """Return what params call an object."""
        return f"s3://{self.bucket}/{key}"

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        """Read an object."""
        data: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return data

    def names(self) -> list[str]:
        """Return every key, markers of folders included."""
        found = self.client.list_objects_v2(Bucket=self.bucket)
        return [each["Key"] for each in found.get("Contents", [])]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Start the S3 server and return its URL."""
    command = [sys.executable, "-m", "tests.s3_process"]
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        assert port, "the S3 server did not start"
        yield f"http://127.0.0.1:{port}"
        server.communicate(timeout=30)


@pytest.fixture
def s3(s3_server: str) -> S3:
    """Return a bucket that is the test's own."""
    client = boto3.client(
        "s3",
        endpoint_url=s3_server,
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
    )
    bucket = f"jobu-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    return S3(s3_server, bucket, client)


@pytest.fixture
def s3_proxy(s3_server: str) -> Iterator[CuttingProxy]:
    """Return a proxy in front of the S3 server."""
    host, _, port = s3_server.removeprefix("http://").partition(":")
    opened = CuttingProxy(host, int(port))
    yield opened
    opened.close()
