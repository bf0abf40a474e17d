"""The stack's files are private, short enough for sockets, and locked."""

from __future__ import annotations

import multiprocessing
import os
import stat
import tempfile
from typing import TYPE_CHECKING

import pytest

from jobu_core.config import Settings
from jobu_core.errors import ServiceError
from jobu_core.services.layout import layout_of

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event
    from pathlib import Path

_LONGEST_SOCKET_PATH = 103


def test_a_short_project_keeps_its_sockets_beside_its_data(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Nothing outside the project's folder is used when it need not be."""
    root = tmp_path_factory.mktemp("p")
    assert layout_of(Settings(root=root)).run == root / ".jobu" / "run"


def test_a_deep_project_gets_a_short_private_folder(
    tmp_path: Path,
    runtime_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The link remembers the folder, also for processes with another TMPDIR."""
    root = tmp_path / ("deep" * 20)
    layout = layout_of(Settings(root=root))
    layout.prepare()
    longest = layout.postgres_sockets / ".s.PGSQL.5432"
    assert len(os.fsencode(longest)) <= _LONGEST_SOCKET_PATH
    assert layout.run.parent == runtime_folder
    assert stat.S_IMODE(layout.run.stat().st_mode) in {0o700, 0o711}
    monkeypatch.setattr(tempfile, "tempdir", "/elsewhere")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/elsewhere")
    assert layout_of(Settings(root=root)).run == layout.run


@pytest.mark.usefixtures("runtime_folder")
def test_a_folder_planted_by_a_link_is_refused(tmp_path: Path) -> None:
    """Somebody who guesses the short name cannot have our sockets made in their folder."""
    layout = layout_of(Settings(root=tmp_path / ("deep" * 20)))
    layout.run.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(ServiceError, match="somebody else"):
        layout.prepare()


def _hold(root: Path, held: Event, release: Event) -> None:
    with layout_of(Settings(root=root)).locked():
        held.set()
        release.wait(30)


def test_the_lock_is_refused_while_another_process_holds_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A waiting command ends with the file's name instead of hanging for ever."""
    monkeypatch.setattr("jobu_core.services.layout._LOCK_SECONDS", 0.1)
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, held, release))
    holder.start()
    try:
        assert held.wait(30)
        with pytest.raises(ServiceError, match="lock"), layout_of(Settings(root=tmp_path)).locked():
            pass
    finally:
        release.set()
        holder.join(30)
    with layout_of(Settings(root=tmp_path)).locked():
        pass
