"""``jobu rejects …``: rows that were turned away: look at them, correct them, load them once."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import TYPE_CHECKING, Annotated, Final

import typer

from jobu_admin.cli.data_files import opened_file
from jobu_admin.cli.output import JsonFlag, print_json, print_rows
from jobu_admin.cli.session import load_declared, open_store, operator
from jobu_core.errors import FileError
from jobu_core.execution.rejected import opened_inputs, reject_files, rejected_of
from jobu_core.execution.reload import params_of, reload_rejected
from jobu_core.execution.runtime import ExecutionRuntime
from jobu_core.models import MAX_ID
from jobu_core.pipeline.corrections import export_rejected
from jobu_core.pipeline.paths import Paths
from jobu_core.pipeline.rejects_read import first_rejects
from jobu_core.services.runtime import database_urls
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution
from jobu_core.store.meta import read_installation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobu_core.execution.reload import Reload

app = typer.Typer(no_args_is_help=True, help="Rejects: rows that were turned away, and why.")

_COLUMNS: Final = ("row_number", "field", "error_type", "message", "value")

Id = Annotated[
    int, typer.Argument(metavar="ID", min=1, max=MAX_ID, help="The execution that rejected them.")
]


@app.command()
def show(
    reference: Annotated[
        str, typer.Argument(metavar="ID|FILE", help="An execution, or a file of rejects.")
    ],
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Show rejects in the order of the file; values only if they were kept.

    Row 1 is the first row after the header.
    """
    with _files(reference) as files:
        found, total = first_rejects(files, limit)
    several = len({row["source_file"] for row in found}) > 1
    columns = ("source_file", *_COLUMNS) if several else _COLUMNS
    print_rows(found, columns, as_json=as_json, empty="no rejects")
    if total > len(found) and not as_json:
        typer.echo(f"and {total - len(found)} more (--limit)")


@app.command()
def export(
    execution: Id,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The CSV to write; a new file.")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Write the rejected rows as a CSV to correct, read anew from the loaded file.

    It holds the rows' values, whatever show_values says.
    """
    with _opened() as runtime:
        with transaction(runtime.engine) as connection:
            found = get_execution(connection, execution)
        rejected = rejected_of(runtime, found)
        _, csv = params_of(runtime, found)
        with opened_inputs(runtime, rejected) as sources:
            rows = export_rejected(sources, rejected, csv=csv, output=file)
    if as_json:
        print_json({"rows": rows, "file": str(file)})
        return
    typer.echo(
        f"{rows} rows are in {file}; correct the cells, keep the column _reject, leave out the "
        f"rows that shall stay rejected, then `jobu rejects reload {execution} {file}`"
    )


@app.command()
def reload(
    execution: Id,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What export wrote, corrected.")],
    *,
    why: Annotated[str | None, typer.Option("--why", help="For the audit log.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Load corrected rows by a new execution; each row once, however often this is repeated."""
    if not file.is_file():
        raise FileError(f"{file}: no such file")
    with _opened() as runtime:
        done = reload_rejected(runtime, execution, file, name=file.name, who=operator(), why=why)
    if as_json:
        print_json(
            {"executions": list(done.executions), "rows": done.executions, "already": done.already}
        )
        return
    _tell(done)


def _tell(done: Reload) -> None:
    for execution, rows in done.executions.items():
        typer.echo(f"execution {execution} is pending: {rows} rows")
    for execution, rows in done.already.items():
        typer.echo(f"{rows} rows are execution {execution}'s already, and left out")


@contextmanager
def _files(reference: str) -> Iterator[Sequence[Path]]:
    """Lend the rejects of an execution, or the file that is named."""
    if not reference.isdecimal():
        settings, _ = load_declared()
        with opened_file(settings, reference) as (path, _name):
            yield [path]
        return
    with _opened() as runtime:
        with transaction(runtime.engine) as connection:
            execution = get_execution(connection, min(int(reference), MAX_ID))
        with reject_files(runtime, execution) as files:
            yield files


@contextmanager
def _opened() -> Iterator[ExecutionRuntime]:
    """Open what an attempt has, for one command."""
    with open_store() as opened:
        with transaction(opened.engine) as connection:
            installation = read_installation(connection)
        yield ExecutionRuntime(
            engine=opened.engine,
            settings=opened.settings,
            registry=opened.registry,
            paths=Paths.of(opened.settings),
            databases=database_urls(opened.settings),
            installation=installation,
        )
