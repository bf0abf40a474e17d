"""What tests of loads and handlers run on: a fresh database and a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.handler_bench import Project, make_project
from tests.load_bench import Bench

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Bench:
    """Return a bench on a fresh job store, which is also the default target."""
    return Bench(database_url, tmp_path)


@pytest.fixture
def data_project(bench: Bench) -> Project:
    """Return a project with the demo's dataset, on a fresh job store."""
    return make_project(bench)
