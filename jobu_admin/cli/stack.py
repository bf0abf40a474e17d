"""``jobu up | down | status | doctor | migrate | dev``."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from jobu_admin.cli.output import JsonFlag, print_json, print_rows
from jobu_admin.cli.session import open_store, operator
from jobu_core.config import load_settings
from jobu_core.services import programs, stack
from jobu_core.services.doctor import Finding, examine
from jobu_core.services.endpoints import Endpoints, without_password
from jobu_core.services.ensure import ensure_kafka, ensure_postgres, ensure_valkey, ensure_worker
from jobu_core.services.layout import layout_of
from jobu_core.services.supervisord import clean_environment
from jobu_core.store.audit import record
from jobu_core.store.engine import transaction
from jobu_core.store.meta import read_installation, rotate_installation
from jobu_core.store.migrate import head_revision

_STATUS_COLUMNS = ("program", "state", "pid", "uptime_seconds", "address")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    for command in (up, down, status, doctor, migrate, dev):
        app.command()(command)


def up() -> None:
    """Start services, Dagster and a worker in the background; wait until all work."""
    where = stack.up(load_settings(), typer.echo)
    for line in urls(where):
        typer.echo(line)


def down() -> None:
    """End everything that `up` or a first use has started; data stays."""
    stack.down(load_settings(), typer.echo)


def status(*, as_json: JsonFlag = False) -> None:
    """Show the programs of the stack: state, pid, uptime, address."""
    found = [asdict(each) for each in stack.status(load_settings())]
    print_rows(found, _STATUS_COLUMNS, as_json=as_json)


def doctor(
    *,
    as_json: JsonFlag = False,
    rotate: Annotated[
        bool,
        typer.Option(
            "--rotate-installation",
            help="After restoring a backup: a new installation uuid, so that load keys are new.",
        ),
    ] = False,
    write_buckets: Annotated[
        bool,
        typer.Option(
            "--write-buckets",
            help="Also put an object .jobu-doctor into each folder of each bucket of S3.",
        ),
    ] = False,
) -> None:
    """Check connections, versions, workers, daemons, positions, buckets and clocks."""
    if rotate:
        _rotate_installation()
    found = examine(load_settings(), write_buckets=write_buckets)
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        for each in found:
            typer.echo(_line(each))
    if not all(each.ok for each in found):
        raise typer.Exit(1)


def _line(finding: Finding) -> str:
    mark = "ok     " if finding.ok else "problem"
    advice = f" → {finding.advice}" if finding.advice and not finding.ok else ""
    return f"{mark} {finding.check}: {finding.found}{advice}"


def _rotate_installation() -> None:
    with open_store() as runtime, transaction(runtime.engine) as connection:
        before = read_installation(connection)
        after = rotate_installation(connection)
        record(
            connection,
            operator(),
            "installation.rotate",
            "jobu_meta/installation",
            before={"uuid": before},
            after={"uuid": after},
        )
    typer.echo(f"jobu: the installation is now {after}")


def migrate() -> None:
    """Bring the job store's schema to this version, and make Dagster's tables.

    The only command that needs a role which may create tables (docs/security.md).
    """
    from jobu_dagster.storage import JobuStorage  # noqa: PLC0415 - slow, and for this one only

    with open_store():
        JobuStorage()  # opening it makes what is missing
        typer.echo(f"jobu: the job store is at revision {head_revision()}")


def dev() -> None:
    """Run Dagster in the foreground, with reload, on the services and worker in the background.

    Ctrl-C ends Dagster; `jobu down` ends the rest.
    """
    settings = load_settings()
    if stack.stop_carriers(settings):
        typer.echo("jobu: stopped Dagster in the background; this one takes over")
    stack.require_web_port(settings)
    stack.require_services(settings, {"postgres", "valkey", "kafka"}, typer.echo)
    ensure_postgres(settings)
    ensure_valkey(settings)
    ensure_kafka(settings)
    ensure_worker(settings)
    layout = layout_of(settings)
    programs.prepare_dagster_home(layout)
    os.chdir(layout.root)
    environment = {
        **clean_environment(os.environ),
        **programs.dagster_environment(layout.root, layout.dagster_home),
        "JOBU_ROOT": str(layout.root),
    }
    listen = ["-h", settings.admin.dagster_host, "-p", str(settings.admin.dagster_port)]
    command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", *listen]
    for number in (signal.SIGINT, signal.SIGQUIT):  # ignored when a script started us by `&`
        signal.signal(number, signal.SIG_DFL)
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is meant


def urls(where: Endpoints) -> list[str]:
    """Return what a person needs to reach a running stack."""
    return [
        f"Dagster      {where.dagster_web_url}",
        f"Kafka        {where.kafka_bootstrap}",
        f"PostgreSQL   {without_password(where.database_url)}",
    ]
