"""Foreground parts are known while they live, and only then."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from jobu_core.config import Settings
from jobu_core.errors import ConfigError
from jobu_core.services import foreground
from jobu_core.services.layout import layout_of
from jobu_core.services.parts import chosen

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("runtime_folder")


def test_a_living_process_counts_for_its_parts(tmp_path: Path) -> None:
    """A worker in the foreground is a worker; the background adds no second one."""
    layout = layout_of(Settings(root=tmp_path))
    foreground.record(layout, ["worker", "admin"])
    assert foreground.runs(layout, "worker")
    assert not foreground.runs(layout, "dispatcher")


def test_a_record_with_a_reused_pid_is_forgotten_with_its_files(tmp_path: Path) -> None:
    """The creation time tells that the pid is somebody else's now."""
    layout = layout_of(Settings(root=tmp_path))
    foreground.record(layout, ["worker"])
    path = layout.foreground / f"{os.getpid()}.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "started": record["started"] - 100}))
    path.with_suffix(".conf").touch()
    assert foreground.running(layout) == []
    assert list(layout.foreground.iterdir()) == []


def test_a_torn_record_is_skipped(tmp_path: Path) -> None:
    """A process that died while it wrote does not break the others."""
    layout = layout_of(Settings(root=tmp_path))
    foreground.record(layout, ["admin"])
    (layout.foreground / "1.json").write_text("{")
    assert [each.parts for each in foreground.running(layout)] == [("admin",)]


def test_children_of_a_dead_foreground_process_are_orphans(tmp_path: Path) -> None:
    """`jobu down` ends what a killed main.py left, and leaves a living one alone."""
    layout = layout_of(Settings(root=tmp_path))
    foreground.record(layout, ["worker"])
    assert foreground.is_orphan_of(layout, foreground.mark(layout, 4_194_300))
    assert not foreground.is_orphan_of(layout, foreground.mark(layout, os.getpid()))
    assert not foreground.is_orphan_of(layout, "unix:///elsewhere/rpc.sock")


def test_no_part_named_means_the_working_three() -> None:
    """Each part runs once, in a fixed order."""
    assert chosen([]) == ("dispatcher", "worker", "admin")
    assert chosen(["worker", "queue_dispatcher", "worker"]) == ("queue_dispatcher", "worker")


def test_an_unknown_part_is_named_with_the_known_ones() -> None:
    """A typo does not start something else."""
    with pytest.raises(ConfigError, match="'workers' is no part; parts are dispatcher"):
        chosen(["workers"])
