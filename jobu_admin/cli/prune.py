"""``jobu prune``: what ended long ago and nobody needs any more, taken away."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from jobu_admin.cli.output import print_record
from jobu_admin.cli.session import open_store, operator
from jobu_core.execution.retention import MIN_AGE, Pruning
from jobu_core.pipeline.paths import Paths
from jobu_core.store.engine import transaction
from jobu_core.store.retention import runs_in_use

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from jobu_core.services.runtime import Runtime

_AGE: Final = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_UNITS: Final = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command()(prune)


def prune(
    *,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="AGE",
            help="30d, 48h, 4w; at least a day. Unset: dispatcher.retention.days.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Delete executions, settled dead letters, skips, runs and files that ended long ago.

    Nothing that could come again is forgotten, nothing unfinished is touched. It may
    be stopped at any moment, and runs beside everything else.
    """
    given = None if older_than is None else _age(older_than)
    with open_store() as runtime:
        days = timedelta(days=runtime.settings.dispatcher.retention.days)
        pruning = Pruning(
            engine=runtime.engine,
            settings=runtime.settings,
            paths=Paths(runtime.settings.handlers.data_roots, runtime.settings.root),
            older_than=given or days,
            dry_run=dry_run,
        )
        cutoff = pruning.cutoff()
        pruned = pruning.prune(cutoff)
        runs = _prune_runs(runtime, cutoff, dry_run=dry_run)
        pruning.record(operator(), pruned, runs)
    told = {"dry_run": dry_run, "ended_before": cutoff, **asdict(pruned), "runs": runs}
    print_record(told, as_json=as_json)


def _prune_runs(runtime: Runtime, cutoff: datetime, *, dry_run: bool) -> int:
    from jobu_dagster.private import open_instance  # noqa: PLC0415 - slow import, here only
    from jobu_dagster.retention import prune_runs  # noqa: PLC0415 - idem

    retention = runtime.settings.dispatcher.retention

    def in_use(runs: Collection[str]) -> Collection[str]:
        with transaction(runtime.engine) as connection:
            return runs_in_use(connection, runs)

    with open_instance(runtime.settings.root) as instance:
        return prune_runs(
            instance,
            cutoff=cutoff,
            keep_materializations=retention.keep_materializations,
            in_use=in_use,
            batch=retention.batch,
            dry_run=dry_run,
        )


def _age(text: str) -> timedelta:
    found = _AGE.fullmatch(text)
    if found is None:
        raise typer.BadParameter("an age is a number and h, d or w, like 30d")
    age = int(found[1]) * _UNITS[found[2]]
    if age < MIN_AGE:
        raise typer.BadParameter("nothing younger than a day is pruned")
    return age
