"""A site on which dispatchers of the crash matrix start, die and start again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.crash.dispatching import START, Site

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Site:
    """Return a site with an empty store and an empty topic, at the start of a Monday."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE effects (execution_id bigint NOT NULL)")
    return Site(database_url, tmp_path, START)
