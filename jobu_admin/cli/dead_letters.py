"""``jobu dead-letters …``: messages that could not become executions, and what to do with them."""

from __future__ import annotations

import base64
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from jobu_admin.cli.output import JsonFlag, print_json, print_record, print_rows
from jobu_admin.cli.session import open_store, operator
from jobu_core.dispatcher.queue import dead_letters
from jobu_core.dispatcher.queue.adapter.reader import make_dead_letter_reader
from jobu_core.dispatcher.queue.redrive_many import Redriver
from jobu_core.models import DeadLetterStatus  # noqa: TC001 - typer reads annotations
from jobu_core.store.dead_letters import find_dead_letter, get_dead_letter, list_dead_letters
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from jobu_core.models import DeadLetter
    from jobu_core.services.runtime import Runtime

app = typer.Typer(
    no_args_is_help=True, help="Dead letters: messages that were refused, kept whole."
)

_OUTCOME: Final = ("place", "letter_id", "outcome", "execution_id", "detail")
_COLUMNS: Final = ("id", "status", "stage", "code", "place", "message", "created_at")

Reference = Annotated[
    str,
    typer.Argument(metavar="ID", help="The dead letter's id, or the beginning of it."),
]


@app.command(name="list")
def list_(
    *,
    status: Annotated[
        DeadLetterStatus | None,
        typer.Option("--status", case_sensitive=False, help="Only in this status."),
    ] = None,
    code: Annotated[str | None, typer.Option("--code", help="Only with this code.")] = None,
    topic: Annotated[str | None, typer.Option("--topic", help="Only of this topic.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List dead letters, the newest first."""
    with open_store() as runtime, transaction(runtime.engine) as connection:
        found = list_dead_letters(
            connection,
            status=status,
            code=code,
            topic=topic,
            limit=limit,
        )
    rows = [_record(letter) if as_json else _short(letter) for letter in found]
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no dead letters")


@app.command()
def show(reference: Reference, *, as_json: JsonFlag = False) -> None:
    """Show one dead letter with its original bytes."""
    with open_store() as runtime, transaction(runtime.engine) as connection:
        letter = get_dead_letter(connection, find_dead_letter(connection, reference))
    print_record(_record(letter), as_json=as_json)


@app.command()
def redrive(
    reference: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="One dead letter; none: see the options."),
    ] = None,
    *,
    payload: Annotated[
        Path | None,
        typer.Option("--payload", help="File with the corrected message; the original is kept."),
    ] = None,
    code: Annotated[
        str | None, typer.Option("--code", help="All open ones with this code.")
    ] = None,
    from_topic: Annotated[
        bool,
        typer.Option("--from-topic", help="The copies in queue_dispatcher.dead_letter_topic."),
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="At most so many of the table.")
    ] = 10_000,
    as_json: JsonFlag = False,
) -> None:
    """Make executions of dead letters; repeating it makes none twice.

    One by its ID, as sent or corrected; all open ones with --code; or, with
    --from-topic, the copies in the dead letter topic (those with --code).
    """
    if reference is not None:
        if code is not None or from_topic:
            raise typer.BadParameter("give an ID, or --code and --from-topic, not both")
        _redrive_one(reference, payload, as_json=as_json)
        return
    if payload is not None:
        raise typer.BadParameter("--payload corrects one dead letter: give its ID")
    if code is None and not from_topic:
        raise typer.BadParameter("give an ID, --code or --from-topic")
    with open_store(kafka=from_topic) as runtime:
        redriver = Redriver(runtime.engine, runtime.registry, runtime.settings, operator())
        if from_topic:
            with make_dead_letter_reader(
                runtime.settings, runtime.endpoints.kafka_bootstrap
            ) as adapter:
                found = list(redriver.redrive_copies(adapter, code=code))
        else:
            found = list(redriver.redrive_open(code=code, limit=limit))
    rows = [asdict(each) for each in found]
    print_rows(rows, _OUTCOME, as_json=as_json, empty="nothing to redrive")
    if any(each.outcome == "refused" for each in found):
        raise typer.Exit(1)


def _redrive_one(reference: str, payload: Path | None, *, as_json: bool) -> None:
    edited = payload.read_bytes() if payload is not None else None
    with open_store() as runtime:
        execution_id = dead_letters.redrive(
            runtime.engine,
            runtime.registry,
            runtime.settings,
            _find(runtime, reference),
            edited_payload=edited,
            who=operator(),
        )
    if as_json:
        print_json([{"execution_id": execution_id}])
    else:
        typer.echo(f"execution {execution_id}")


@app.command()
def discard(
    reference: Reference,
    *,
    why: Annotated[str | None, typer.Option("--why", help="For the audit log.")] = None,
) -> None:
    """Settle it as not worth sending again; it stays in the table."""
    with open_store() as runtime:
        dead_letters.discard(runtime.engine, _find(runtime, reference), who=operator(), why=why)
    typer.echo(f"discarded {reference}")


def _find(runtime: Runtime, reference: str) -> Any:  # noqa: ANN401 - a UUID, imported for types only
    with transaction(runtime.engine) as connection:
        return find_dead_letter(connection, reference)


def _short(letter: DeadLetter) -> dict[str, Any]:
    at = letter.coordinates
    return {
        "id": str(letter.id)[:8],
        "status": letter.status.value,
        "stage": letter.stage.value,
        "code": letter.code,
        "place": f"{at.topic}/{at.partition}@{at.offset}",
        "message": letter.message,
        "created_at": letter.created_at,
    }


def _record(letter: DeadLetter) -> dict[str, Any]:
    """Return every field; bytes that are not UTF-8 as base64 with that said."""
    at = letter.coordinates
    return {
        "id": str(letter.id),
        "status": letter.status.value,
        "stage": letter.stage.value,
        "code": letter.code,
        "message": letter.message,
        "group_id": letter.group_id,
        "topic": at.topic,
        "generation": at.generation,
        "partition": at.partition,
        "offset": at.offset,
        "key": _text(letter.key),
        "value": _text(letter.value),
        "headers": [[name, _text(value)] for name, value in letter.headers],
        "message_time": letter.message_time,
        "execution_id": letter.execution_id,
        "redrive_count": letter.redrive_count,
        "edited_payload": _text(letter.edited_payload),
        "mirror_topic": letter.mirror_topic,
        "mirrored_at": letter.mirrored_at,
        "mirror_error": letter.mirror_error,
        "created_at": letter.created_at,
    }


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode("ascii")
