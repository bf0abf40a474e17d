"""``jobu executions …``: what ran, why it waits or failed, run it again, stop it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from jobu_admin.cli.output import JsonFlag, print_json, print_record, print_rows
from jobu_admin.cli.progress_line import progress_line
from jobu_admin.cli.session import open_store, operator
from jobu_core.dispatcher.waiting import why_waiting
from jobu_core.execution.cancel import cancel_execution
from jobu_core.execution.retry import retry_execution
from jobu_core.models import MAX_ID, ParamSource, Status
from jobu_core.store import cron_jobs
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution, list_executions

if TYPE_CHECKING:
    from datetime import datetime

    from jobu_core.models import Execution

app = typer.Typer(no_args_is_help=True, help="Executions: what runs, ran and waits.")

_COLUMNS: Final = (
    "id",
    "status",
    "handler_name",
    "param_source",
    "trigger",
    "attempts",
    "created_at",
    "seconds",
    "reason",
)

Id = Annotated[int, typer.Argument(metavar="ID", min=1, max=MAX_ID, help="The execution's id.")]


@app.command(name="list")
def list_(
    *,
    status: Annotated[
        Status | None,
        typer.Option("--status", case_sensitive=False, help="Only in this status."),
    ] = None,
    handler: Annotated[str | None, typer.Option("--handler", help="Of this handler.")] = None,
    job: Annotated[str | None, typer.Option("--job", help="Of this cron job: name or id.")] = None,
    source: Annotated[
        ParamSource | None,
        typer.Option("--source", help="Whose params came from there."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000)] = 50,
    before: Annotated[
        int | None,
        typer.Option("--before", min=1, max=MAX_ID, help="Only ids below: the next page."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List executions, the newest first."""
    with open_store() as runtime, transaction(runtime.engine) as connection:
        job_id = None if job is None else cron_jobs.find_job(connection, job).id
        now = cron_jobs.read_now(connection)
        found = list_executions(
            connection,
            status=status,
            handler=handler,
            job_id=job_id,
            source=source,
            limit=limit,
            before_id=before,
        )
    rows = [_described(execution, now) for execution in found]
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no executions")


@app.command()
def show(execution: Id, *, as_json: JsonFlag = False) -> None:
    """Show one execution: attempts, times, error, progress, and why it waits."""
    with open_store() as runtime, transaction(runtime.engine) as connection:
        found = get_execution(connection, execution)
        now = cron_jobs.read_now(connection)
        waits = why_waiting(
            connection,
            found,
            registry=runtime.registry,
            settings=runtime.settings,
            now=now,
        )
    described = _described(found, now) | {"waits": waits}
    if not as_json:
        described["progress"] = progress_line(described["progress"])
        described = {name: value for name, value in described.items() if value is not None}
    print_record(described, as_json=as_json)


@app.command()
def retry(
    execution: Id,
    *,
    why: Annotated[str | None, typer.Option("--why", help="For the audit log.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run an ended execution again, as a new one.

    After FAILED, TIMEOUT or CANCELED the new one continues the old: what it loaded
    is not loaded twice. After SUCCESS it starts afresh.
    """
    with open_store() as runtime:
        made = retry_execution(runtime.engine, execution, who=operator(), why=why)
    if as_json:
        print_json({"execution_id": made})
        return
    typer.echo(f"execution {made} is pending; see `jobu executions show {made}`")


@app.command()
def cancel(
    execution: Id,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Kept on the row.")] = "asked to",
    as_json: JsonFlag = False,
) -> None:
    """Cancel an execution; a running one is ended by its worker within seconds."""
    with open_store() as runtime:
        status = cancel_execution(runtime.engine, execution, who=operator(), reason=reason)
    if as_json:
        print_json({"execution_id": execution, "status": status.value})
        return
    ending = status is Status.RUNNING
    said = "is running and will be ended by its worker" if ending else "is canceled"
    typer.echo(f"execution {execution} {said}")


def _described(execution: Execution, now: datetime) -> dict[str, Any]:
    """Return every field, with attempts as ``2/4`` and how long it ran or has run."""
    return asdict(execution) | {
        "attempts": f"{execution.attempt}/{execution.max_attempts}",
        "seconds": _seconds(execution, now),
    }


def _seconds(execution: Execution, now: datetime) -> float | None:
    """Return how long the latest attempt took, or has taken so far."""
    until = now if execution.status is Status.RUNNING else execution.finished_at
    if execution.started_at is None or until is None:
        return None
    return round((until - execution.started_at).total_seconds(), 3)
