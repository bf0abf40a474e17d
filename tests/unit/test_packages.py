"""Every module imports without side effects, and says what it exports."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import jobu_admin
import jobu_core
import jobu_dagster

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

PACKAGES = (jobu_core, jobu_admin, jobu_dagster)
READ_THE_PROJECT = {
    "jobu_core.store.migrations.env": "is run by Alembic only",
    "jobu_dagster.definitions": "is what Dagster loads: it holds the project's handlers",
    "jobu_dagster.worker": "is what Celery loads: the app names its broker",
}
PROGRAM = """
import importlib, socket, sys
def refuse(*arguments, **keywords):
    raise SystemExit(f"{name} opens a connection when it is imported")
socket.socket.connect = refuse
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def modules() -> list[str]:
    """Return the name of every module of the packages that may be imported alone."""
    found = [package.__name__ for package in PACKAGES]
    for package in PACKAGES:
        inside = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        found.extend(each.name for each in inside)
    return [
        name
        for name in found
        if name not in READ_THE_PROJECT and "versions." not in name and "__main__" not in name
    ]


def test_importing_reads_no_configuration_and_opens_nothing(tmp_path: Path) -> None:
    """In a folder with a broken configuration every module still imports."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "database.yaml").write_text("nonsense: true\n")
    environment = {**os.environ, "JOBU_ROOT": str(tmp_path), "JOBU_NONSENSE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *modules()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.name for path in tmp_path.iterdir()] == ["config"]


def exporting() -> list[ModuleType]:
    """Return every package whose ``__init__`` offers names of its modules."""
    loaded = [importlib.import_module(name) for name in modules()]
    return [module for module in loaded if hasattr(module, "__all__")]


@pytest.mark.parametrize("module", exporting(), ids=lambda module: module.__name__)
def test_every_exported_name_exists_and_is_documented(module: ModuleType) -> None:
    """``__all__`` leads to things that have a docstring."""
    for name in module.__all__:
        value = getattr(module, name)
        if str(getattr(value, "__module__", "")).startswith("jobu_") and callable(value):
            assert value.__doc__, f"{module.__name__}.{name}"
