"""A real MariaDB per test process, from Debian's package, and a fresh database per test."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pymysql
import pytest

from tests.fix_kafka import free_port
from tests.load_bench import wait_until
from tests.mysql_bench import MysqlBench
from tests.requirements import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHARES = (Path("/usr/share/mysql"), Path("/usr/share/mariadb"))
_SYSTEM_TABLES = (
    "mysql_system_tables.sql",
    "mysql_performance_tables.sql",
    "mysql_system_tables_data.sql",
)
_START_SECONDS = 60
_counter = itertools.count()


@dataclass(frozen=True, slots=True)
class MariaDB:
    """A running server, on a Unix socket that only tests know."""

    socket: Path
    pid: int

    def url(self, database: str, *, user: str = "root", options: str = "") -> str:
        """Return the URL of one of its databases."""
        return f"mysql://{user}@localhost/{database}?unix_socket={self.socket}{options}"

    def run(self, *statements: str) -> None:
        """Execute statements as root."""
        with (
            pymysql.connect(unix_socket=str(self.socket), user="root") as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the server for a while: it answers nobody, and forgets nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """Start a MariaDB for this test process; it refuses to be root, so it is nobody then."""
    with _running("--skip-networking") as server:
        yield server


@pytest.fixture(scope="session")
def secure_mariadb() -> Iterator[SecureMariaDB]:
    """Start a MariaDB that also listens on a port of 127.0.0.1, with TLS as ``localhost``."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="jobu-mariadb-tls-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        _make_certificate(folder)
        listen = ("--bind-address=127.0.0.1", f"--port={port}", "--skip-name-resolve=0")
        tls = (f"--ssl-cert={folder}/cert.pem", f"--ssl-key={folder}/key.pem")
        with _running(*listen, *tls) as server:
            server.run(
                "CREATE DATABASE secure",
                "CREATE USER teller@'%' IDENTIFIED BY 'p@ss:w/rd' REQUIRE SSL",
                "GRANT ALL ON secure.* TO teller@'%'",
            )
            yield SecureMariaDB(server, port, folder / "cert.pem")


@dataclass(frozen=True, slots=True)
class SecureMariaDB:
    """A server with TLS, whose user ``teller`` must not come without it."""

    server: MariaDB
    port: int
    certificate: Path

    def url(self, host: str, options: str) -> str:
        """Return the URL of its database for ``teller``."""
        return f"mysql://teller:p%40ss%3Aw%2Frd@{host}:{self.port}/secure?{options}"


def _make_certificate(folder: Path) -> None:
    """Make a key and a certificate that signs itself, for ``localhost`` alone."""
    program = shutil.which("openssl") or missing("mariadb", "openssl is not installed")
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    subprocess.run(
        [program, "req", "-x509", *kind, *files, *names], check=True, capture_output=True
    )
    if os.geteuid() == 0:
        shutil.chown(folder / "key.pem", "nobody")


@contextmanager
def _running(*options: str) -> Iterator[MariaDB]:
    program = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    shares = [
        share for share in _SHARES if all((share / each).is_file() for each in _SYSTEM_TABLES)
    ]
    if program is None or not shares:
        missing("mariadb", "no mariadbd with its system tables; Debian: mariadb-server-core")
    folder = Path(tempfile.mkdtemp(prefix="jobu-mariadb-"))
    common = [
        *(program, "--no-defaults", f"--datadir={folder}/data", "--innodb-log-file-size=48M"),
        *("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync"),
        *("--innodb-doublewrite=0", "--innodb-buffer-pool-size=64M"),
    ]
    (folder / "data").mkdir()
    if os.geteuid() == 0:
        common.append("--user=nobody")
        for path in (folder, folder / "data"):
            shutil.chown(path, "nobody")
    _bootstrap(common, shares[0])
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *common,
                *(*options, "--skip-log-bin", "--character-set-server=utf8mb4"),
                *(f"--socket={folder}/socket", f"--pid-file={folder}/pid"),
            ],
            stdout=log,
            stderr=log,
        )
    server = MariaDB(folder / "socket", process.pid)
    try:
        wait_until(lambda: _answers(server, process, folder / "log"), seconds=_START_SECONDS)
        yield server
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


@pytest.fixture
def mysql_bench(mariadb: MariaDB, tmp_path: Path) -> Iterator[MysqlBench]:
    """Return a bench on a fresh, empty database."""
    database = f"t{next(_counter)}"
    mariadb.run(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")
    yield MysqlBench(mariadb.url(database), tmp_path, database)
    mariadb.run(f"DROP DATABASE IF EXISTS {database}")


def _bootstrap(common: list[str], share: Path) -> None:
    """Make the server's own tables, as its install script does."""
    statements = b"CREATE DATABASE mysql;\nUSE mysql;\n"
    statements += b"".join((share / each).read_bytes() for each in _SYSTEM_TABLES)
    made = subprocess.run(
        [*common, "--bootstrap"], input=statements, capture_output=True, check=False
    )
    assert made.returncode == 0, made.stderr.decode()


def _answers(server: MariaDB, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text("utf-8", "replace")
    try:
        server.run("SELECT 1")
    except pymysql.err.OperationalError:
        return False
    return True
