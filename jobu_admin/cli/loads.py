"""``jobu loads …``: what has been loaded into which table, and taking it back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final

import typer

from jobu_admin.cli.output import JsonFlag, print_json, print_rows
from jobu_admin.cli.session import load_declared, open_store, operator
from jobu_core.config.sources import suggest
from jobu_core.errors import InvalidParams, NotFound, TargetUnavailable
from jobu_core.execution.undo import undo_audited
from jobu_core.models import MAX_ID
from jobu_core.pipeline.load.history import PastLoad, list_loads
from jobu_core.pipeline.load.identifiers import STORE_DATABASE, parse_table
from jobu_core.services.ensure import ensure_postgres
from jobu_core.services.runtime import database_urls

app = typer.Typer(no_args_is_help=True, help="Loads: what went into which table; take one back.")

_COLUMNS: Final = (
    *("database", "load_id", "target", "mode", "rows", "rejected", "execution_id"),
    *("loaded_at", "stamped", "undone_at", "undone_by"),
)


@app.command(name="list")
def list_(
    *,
    target: Annotated[
        str | None, typer.Option("--target", help="One table: database.schema.table.")
    ] = None,
    database: Annotated[
        str | None, typer.Option("--database", help="One database; all of them unless given.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=100_000, help="Newest loads of each.")
    ] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List the loads that the manifests of the target databases know, newest first.

    A database that is not there is told on stderr; the exit code is 1 then.
    """
    settings, _ = load_declared()
    urls = database_urls(settings)
    table = None if target is None else parse_table(target, database=database)
    named = database if table is None else table.database
    if named is not None and named not in urls:
        raise NotFound(f"no database {named!r} is configured{suggest(named, urls)}")
    asked = list(urls) if named is None else [named]
    if STORE_DATABASE in asked:
        ensure_postgres(settings)
    found: list[PastLoad] = []
    missing = False
    for name in asked:
        try:
            found += list_loads(urls[name], name, target=table, limit=limit)
        except TargetUnavailable as error:
            typer.echo(f"jobu: {error}", err=True)
            missing = True
    rows = [asdict(each) for each in found]
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no loads")
    if missing:
        raise typer.Exit(1)


@app.command()
def undo(
    load: Annotated[
        int, typer.Argument(metavar="ID", min=1, max=MAX_ID, help="load_id, as `list` shows it.")
    ],
    database: Annotated[str, typer.Option("--database", help="Its database.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    why: Annotated[str | None, typer.Option("--why", help="For the audit log.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Delete the rows of one load from its table; only appends that marked their rows."""
    with open_store() as opened:
        urls = database_urls(opened.settings)
        if database not in urls:
            raise NotFound(f"no database {database!r} is configured{suggest(database, urls)}")
        if not yes:
            _ask(urls[database], database, load)
        done = undo_audited(opened.engine, urls[database], database, load, who=operator(), why=why)
    if as_json:
        print_json(asdict(done))
        return
    typer.echo(f"load {load} is undone: {done.deleted} of its {done.loaded} rows were in the table")


def _ask(url: str, database: str, load: int) -> None:
    """Tell which rows would go, and ask; anything but yes ends the command."""
    found = list_loads(url, database, load_id=load, limit=1)
    if not found:
        raise NotFound(f"database {database!r} has no load {load}")
    (past,) = found
    typer.echo(
        f"load {load} of execution {past.execution_id}: {past.rows} rows into "
        f"{database}.{past.target}, {past.mode}, {past.loaded_at}",
        err=True,
    )
    if not typer.confirm("Delete these rows?", err=True):
        raise InvalidParams("nothing was undone")
