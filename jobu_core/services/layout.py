"""Where the stack's state lies under ``.jobu/``; nothing here starts or stops anything.

Unix sockets have short paths (104 bytes on macOS). When the project lies too deep,
``.jobu/run`` is a link to a private folder below the temporary directory.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobu_core.errors import ServiceError
from jobu_core.services.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobu_core.config import Settings

_MAX_SOCKET_BYTES: Final = 103
_LONGEST_NAME: Final = "pg/.s.PGSQL.5432"
_LOCK_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders and files of one project's stack."""

    root: Path
    """The project's folder."""
    state: Path
    """``.jobu/``."""
    run: Path
    """Sockets, pids and generated configuration; the real folder behind ``.jobu/run``."""

    @property
    def logs(self) -> Path:
        """One rotated log per program."""
        return self.state / "log"

    @property
    def postgres_data(self) -> Path:
        """The embedded PostgreSQL's data; survives down and up."""
        return self.state / "pg"

    @property
    def postgres_sockets(self) -> Path:
        """The folder that PostgreSQL puts its socket into."""
        return self.run / "pg"

    @property
    def valkey_socket(self) -> Path:
        """The embedded Valkey's socket."""
        return self.run / "valkey.sock"

    @property
    def code_server_socket(self) -> Path:
        """The code server's gRPC socket."""
        return self.run / "code.sock"

    @property
    def rpc_socket(self) -> Path:
        """Supervisord's XML-RPC socket."""
        return self.run / "rpc.sock"

    @property
    def supervisor_conf(self) -> Path:
        """Supervisord's generated configuration."""
        return self.run / "supervisord.conf"

    @property
    def supervisor_pid(self) -> Path:
        """Supervisord's pid file."""
        return self.run / "supervisord.pid"

    @property
    def foreground(self) -> Path:
        """One record per ``main.py`` that runs in the foreground."""
        return self.run / "foreground"

    @property
    def kafka_record(self) -> Path:
        """The embedded broker's cluster id, address and pid."""
        return self.state / "kafka.json"

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME of the background stack."""
        return self.state / "dagster_home"

    @property
    def supervisor_url(self) -> str:
        """How supervisord calls itself in its children's environment."""
        return f"unix://{self.rpc_socket}"

    def prepare(self) -> None:
        """Make the folders: private, but passable for PostgreSQL's own user under root."""
        self.state.mkdir(mode=0o755, parents=True, exist_ok=True)
        link = self.state / "run"
        if self.run != link:
            _make_private(self.run)
            if not link.is_symlink():
                link.symlink_to(self.run, target_is_directory=True)
        else:
            _make_private(self.run)
        for folder in (self.logs, self.foreground):
            folder.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the project's lock: one process at a time starts or stops programs."""
        self.state.mkdir(parents=True, exist_ok=True)
        path = self.state / "lock"
        with path.open("a") as file:
            if not wait_until(lambda: _try_lock(file.fileno()), seconds=_LOCK_SECONDS):
                raise ServiceError(
                    f"another process holds {path} for {_LOCK_SECONDS:.0f} s; see jobu status",
                )
            yield


def layout_of(settings: Settings) -> Layout:
    """Return the layout of the project that ``settings`` belong to."""
    state = settings.state_dir
    return Layout(root=settings.root, state=state, run=_run_folder(state))


def _run_folder(state: Path) -> Path:
    link = state / "run"
    if link.is_symlink():
        return link.readlink()
    if len(os.fsencode(link / _LONGEST_NAME)) <= _MAX_SOCKET_BYTES:
        return link
    digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    return _runtime_base() / f"jobu-{os.geteuid()}-{digest}"


def _runtime_base() -> Path:
    """Return a short folder; under root one that PostgreSQL's own user can pass."""
    chosen = None if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR")
    return Path(chosen or tempfile.gettempdir())


def _make_private(folder: Path) -> None:
    mode = 0o711 if os.geteuid() == 0 else 0o700
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise ServiceError(f"{folder} belongs to somebody else; remove it")
    folder.chmod(mode)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
