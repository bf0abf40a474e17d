"""Dagster's storage while its database is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from jobu_dagster import storage
from tests.fix_kafka import free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_an_outage_is_an_error_of_dagsters_own(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A code server goes on without its instance only for a DagsterError; others it keeps."""
    del project
    nobody = f"postgresql://jobu@127.0.0.1:{free_port()}/jobu"
    monkeypatch.setenv("JOBU_DATABASE_URL", nobody)
    monkeypatch.setattr(storage, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(dg.DagsterError, match="database is unavailable"):
        storage.JobuStorage()
