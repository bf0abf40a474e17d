"""A project with an embedded stack of its own, on free ports; ended after the test."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobu_core.config import load_settings
from jobu_core.services import stack
from tests.fix_kafka import free_port
from tests.fix_project import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobu_core.config import Settings


@pytest.fixture
def runtime_folder(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """Give this test a short temporary folder: pytest's own are too deep for sockets."""
    tmp_path_factory.getbasetemp()  # decided now, or it would lie in the folder removed below
    folder = Path(tempfile.mkdtemp(prefix="jr"))
    folder.chmod(0o711)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def embedded(
    tmp_path: Path,
    runtime_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """Lay out a project whose services run embedded; nothing is started yet."""
    del runtime_folder  # sockets go there
    root = tmp_path / "project"
    shutil.copytree(REPOSITORY / "config", root / "config")
    shutil.copytree(REPOSITORY / "data" / "raw", root / "data" / "raw")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, root / name)
    for variable in ("JOBU_DATABASE_URL", "JOBU_BROKER_URL", "JOBU_STACK", "DAGSTER_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("JOBU_ROOT", str(root))
    monkeypatch.setenv("JOBU_ADMIN__DAGSTER_PORT", str(free_port()))
    kafka = f"localhost:{free_port()}"
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", kafka)
    settings = load_settings()
    yield settings
    stack.down(settings, lambda _: None)
