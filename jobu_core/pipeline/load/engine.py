"""Which engine loads a target: its URL says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.pipeline.load import manifest, postgres, postgres_health, postgres_preview
from jobu_core.pipeline.load.mysql import health as mysql_health
from jobu_core.pipeline.load.mysql import loader as mysql
from jobu_core.pipeline.load.mysql import preview as mysql_preview
from jobu_core.pipeline.load.mysql import sweeping as mysql_sweeping
from jobu_core.pipeline.load.mysql.connecting import SCHEMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobu_core.clock import Clock
    from jobu_core.pipeline.load.health import Health, Wanted
    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.manifest import Loaded
    from jobu_core.pipeline.load.previewed import LoadPreview
    from jobu_core.pipeline.load.request import LoadRequest, LoadResult


def load_parquet(request: LoadRequest, clock: Clock | None = None) -> LoadResult:
    """Load the request's file into its table, exactly once; raises what the engine raises."""
    if is_mysql(request.url):
        return mysql.load_parquet(request, clock)
    return postgres.load_parquet(request, clock)


def preview_load(request: LoadRequest) -> LoadPreview:
    """Return what ``load_parquet`` would do, as far as reading can tell; nothing is written.

    What only the server's own checks find (a decimal of too many digits,
    a unique key, a trigger) is not seen. Raises FileError for the file, LoadRefused
    for a forbidden target, TargetUnavailable when the database is not there.
    """
    if is_mysql(request.url):
        return mysql_preview.preview_load(request)
    return postgres_preview.preview_load(request)


def read_load(url: str, database: str, load_key: str) -> Loaded | None:
    """Return the committed load of that key from a target, or None.

    Raises TargetUnavailable when it cannot be asked.
    """
    if is_mysql(url):
        return mysql.read_load(url, database, load_key)
    return manifest.read_load(url, database, load_key)


def replaced_by(url: str, target: TableName, load_id: int) -> int | None:
    """Return the first load after ``load_id`` that replaced the target's rows, or None.

    Raises TargetUnavailable when it cannot be asked.
    """
    if is_mysql(url):
        return mysql.replaced_by(url, target, load_id)
    return manifest.replaced_by(url, target, load_id)


def examine_target(url: str, database: str, wanted: Sequence[Wanted]) -> Health:
    """Return what would stop or slow loads into a target; nothing in it is changed.

    Raises TargetUnavailable when it cannot be reached, ConfigError for the URL.
    """
    if is_mysql(url):
        return mysql_health.examine(url, database, wanted)
    return postgres_health.examine(url, database, wanted)


def sweep(url: str, database: str) -> list[str]:
    """Settle what killed replaces left in a target; return what was done, a line each.

    PostgreSQL has nothing of the kind. A live load is left alone. Raises
    TargetUnavailable when the server cannot be asked.
    """
    return mysql_sweeping.sweep(url, database) if is_mysql(url) else []


def is_mysql(url: str) -> bool:
    """Whether the URL is one of MySQL or MariaDB; a driver after ``+`` does not matter."""
    return url.partition(":")[0].partition("+")[0].lower() in SCHEMES
