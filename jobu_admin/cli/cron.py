"""``jobu cron …``: cron jobs saved, shown, switched, run by hand and looked ahead."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from jobu_admin.cli import cron_times
from jobu_admin.cli.cron_options import (  # noqa: TC001 - typer reads annotations at run time
    Backoff,
    Description,
    Dst,
    Grace,
    Job,
    Misfire,
    Overlap,
    Params,
    Retries,
    Timeout,
    Timezone,
)
from jobu_admin.cli.output import JsonFlag, print_json, print_record, print_rows
from jobu_admin.cli.session import open_store, operator
from jobu_core.dispatcher.cron import edit as jobs
from jobu_core.dispatcher.cron.manual import run_now
from jobu_core.dispatcher.cron.occurrence import usable_times
from jobu_core.errors import InvalidInput
from jobu_core.store import cron_jobs as store
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from datetime import datetime

    from jobu_core.models import CronJob

app = typer.Typer(no_args_is_help=True, help="Cron jobs: what runs when.")
app.command(name="next")(cron_times.next_)
app.command()(cron_times.explain)
app.command()(cron_times.lint)

_COLUMNS: Final = (
    "id",
    "name",
    "cron_expression",
    "timezone",
    "handler_name",
    "is_enabled",
    "next_fire",
)
_RECENT_SKIPS: Final = 20
_SKIP_COLUMNS: Final = ("scheduled_time", "until", "count", "reason", "detail")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Unique; not only digits.")],
    *,
    cron: Annotated[str, typer.Option("--cron", help="Five fields, or @hourly … @yearly.")],
    handler: Annotated[str, typer.Option("--handler", help="The handler that runs.")],
    params: Params = None,
    timezone: Timezone = None,
    description: Description = None,
    overlap: Overlap = None,
    misfire: Misfire = None,
    misfire_grace: Grace = None,
    dst: Dst = None,
    max_retry: Retries = None,
    retry_backoff: Backoff = None,
    timeout: Timeout = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Save it switched off.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Save a new job; it fires from now on."""
    values = _given(
        name=name,
        cron_expression=cron,
        handler_name=handler,
        handler_params=_read_params(params),
        timezone=timezone,
        description=description,
        overlap_policy=overlap,
        misfire_policy=misfire,
        misfire_grace_seconds=misfire_grace,
        dst_policy=dst,
        max_retry=max_retry,
        retry_backoff_seconds=retry_backoff,
        timeout_seconds=timeout,
        is_enabled=not disabled,
    )
    with open_store() as runtime:
        settings = runtime.settings.dispatcher
        job = jobs.add_job(runtime.engine, runtime.registry, settings, values, who=operator())
    _say("added", job, as_json=as_json)


@app.command()
def edit(
    job: Job,
    *,
    rename: Annotated[str | None, typer.Option("--rename", help="A new name.")] = None,
    cron: Annotated[str | None, typer.Option("--cron", help="Five fields or alias.")] = None,
    handler: Annotated[str | None, typer.Option("--handler")] = None,
    params: Params = None,
    timezone: Timezone = None,
    description: Description = None,
    overlap: Overlap = None,
    misfire: Misfire = None,
    misfire_grace: Grace = None,
    dst: Dst = None,
    max_retry: Retries = None,
    retry_backoff: Backoff = None,
    timeout: Timeout = None,
    as_json: JsonFlag = False,
) -> None:
    """Change what is given. A changed schedule fires from now on, never the past."""
    changes = _given(
        name=rename,
        cron_expression=cron,
        handler_name=handler,
        handler_params=_read_params(params),
        timezone=timezone,
        description=description,
        overlap_policy=overlap,
        misfire_policy=misfire,
        misfire_grace_seconds=misfire_grace,
        dst_policy=dst,
        max_retry=max_retry,
        retry_backoff_seconds=retry_backoff,
        timeout_seconds=timeout,
    )
    if not changes:
        raise typer.BadParameter("nothing to change; see --help for what can be given")
    with open_store() as runtime:
        saved = jobs.edit_job(
            runtime.engine,
            runtime.registry,
            runtime.settings.dispatcher,
            job,
            changes,
            who=operator(),
        )
    _say("saved", saved, as_json=as_json)


@app.command(name="list")
def list_(
    *,
    handler: Annotated[str | None, typer.Option("--handler", help="Of this handler.")] = None,
    enabled: Annotated[
        bool | None,
        typer.Option("--enabled/--disabled", help="Only these."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the jobs."""
    with open_store() as runtime, transaction(runtime.engine) as connection:
        now = store.read_now(connection)
        found = store.list_jobs(connection, handler=handler, enabled=enabled)
    rows = [_described(job, now) for job in found]
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no cron jobs")


@app.command()
def show(job: Job, *, as_json: JsonFlag = False) -> None:
    """Show one job with everything that is known of it, and what did not run lately."""
    with open_store() as runtime, transaction(runtime.engine) as connection:
        found = store.find_job(connection, job)
        described = _described(found, store.read_now(connection))
        skips = store.list_skips(connection, found.id, limit=_RECENT_SKIPS)
    if as_json:
        print_json({**described, "recent_skips": [asdict(skip) for skip in skips]})
        return
    print_record(described, as_json=False)
    if skips:
        typer.echo("\nwhat did not run, newest first:")
        print_rows([asdict(skip) for skip in skips], _SKIP_COLUMNS, as_json=False)


@app.command()
def enable(job: Job) -> None:
    """Switch a job on; what fell due while it was off does not run."""
    _switch(job, enabled=True)


@app.command()
def disable(job: Job) -> None:
    """Switch a job off; executions that exist go on."""
    _switch(job, enabled=False)


@app.command()
def delete(job: Job) -> None:
    """Delete a job; its executions stay."""
    with open_store() as runtime:
        deleted = jobs.delete_job(runtime.engine, job, who=operator())
    _say("deleted", deleted)


@app.command()
def run(job: Job, *, as_json: JsonFlag = False) -> None:
    """Make a manual execution now, whether the job is enabled or not."""
    with open_store() as runtime:
        made = run_now(runtime.engine, runtime.registry, job, who=operator())
    if as_json:
        print_json({"execution_id": made})
        return
    typer.echo(f"execution {made} is pending; see `jobu executions show {made}`")


def _switch(job: str, *, enabled: bool) -> None:
    with open_store() as runtime:
        saved = jobs.set_enabled(
            runtime.engine,
            runtime.registry,
            runtime.settings.dispatcher,
            job,
            enabled=enabled,
            who=operator(),
        )
    _say("enabled" if enabled else "disabled", saved)


def _given(**values: object) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _read_params(text: str | None) -> dict[str, Any] | None:
    """Return a JSON object given as text or as ``@FILE``; a usage error otherwise."""
    if text is None:
        return None
    try:
        written = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
        params = json.loads(written)
    except (OSError, ValueError, RecursionError) as error:
        raise typer.BadParameter(f"--params: {error}") from error
    if not isinstance(params, dict):
        raise typer.BadParameter('--params: must be a JSON object, such as {"key": "value"}')
    return params


def _described(job: CronJob, now: datetime) -> dict[str, Any]:
    """Return a job's fields with its next fire time, or why it has none."""
    described: dict[str, Any] = {**asdict(job), "next_fire": None, "problem": None}
    try:
        times = usable_times(job)
    except InvalidInput as error:
        return described | {"problem": str(error)}
    if job.is_enabled:
        described["next_fire"] = times.next_after(now)
    return described


def _say(what: str, job: CronJob, *, as_json: bool = False) -> None:
    if as_json:
        print_record(asdict(job), as_json=True)
        return
    typer.echo(f"{what} cron job {job.id} {job.name!r} (revision {job.revision})")
