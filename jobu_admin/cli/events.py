"""``jobu events …``: send messages to the topic that jobu reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import Annotated, Any

import typer

from jobu_admin.cli.output import JsonFlag, print_rows
from jobu_admin.cli.session import open_store
from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.dispatcher.queue.event import decode_event
from jobu_core.errors import InvalidInput
from jobu_core.models import MAX_ID, Rejection

app = typer.Typer(no_args_is_help=True, help="Events: messages to the topic that jobu reads.")


@app.callback()
def events() -> None:
    """Events: messages to the topic that jobu reads."""


@app.command()
def send(
    handler: Annotated[
        str | None,
        typer.Argument(
            help="Name of the handler, or a whole message as JSON;"
            " none: whole messages, one per line of the input."
        ),
    ] = None,
    params: Annotated[str, typer.Argument(help="The handler's params as a JSON object.")] = "{}",
    *,
    job_id: Annotated[
        int | None,
        typer.Option("--job-id", min=1, max=MAX_ID, help="Cron job whose params are the base."),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Message key.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Messages, one per line; - for standard input."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Send lines as they are, unchecked.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send one event, or one per line of a file, and wait until the broker has them.

    Every message is checked before the first is sent.
    """
    if handler is not None and file is not None:
        raise typer.BadParameter("give HANDLER or --file, not both")
    values = _lines(file) if handler is None else [_event(handler, params, job_id)]
    messages = [OutgoingMessage(value, key=key.encode() if key else None) for value in values]
    with open_store(kafka=True) as runtime:
        queue = runtime.settings.queue_dispatcher
        if not raw:
            _check(values, queue.max_message_bytes)
        adapter = KafkaAdapter(
            runtime.endpoints.kafka_bootstrap,
            queue.kafka_topic,
            queue.kafka_group_id,
            runtime.settings.kafka.client,
        )
        with adapter:
            sent = adapter.publish(queue.kafka_topic, messages)
    rows = [
        {"topic": queue.kafka_topic, "partition": partition, "offset": offset}
        for partition, offset in sent
    ]
    print_rows(rows, ("topic", "partition", "offset"), as_json=as_json, empty="nothing to send")


def _event(handler: str, params: str, job_id: int | None) -> bytes:
    if handler.lstrip().startswith("{"):
        if params != "{}" or job_id is not None:
            raise typer.BadParameter("a whole message holds its own params and job_id")
        return handler.encode()
    try:
        parsed: Any = json.loads(params)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"params: not JSON: {error}") from None
    message = {"handler_name": handler, "params": parsed, "job_id": job_id}
    return json.dumps(message, ensure_ascii=False).encode()


def _lines(file: Path | None) -> list[bytes]:
    if file is None or str(file) == "-":
        data = sys.stdin.buffer.read()
    else:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise InvalidInput(f"{file}: {error.strerror}") from None
    return [line for line in data.splitlines() if line.strip()]


def _check(values: list[bytes], max_bytes: int) -> None:
    for number, value in enumerate(values, start=1):
        decoded = decode_event(value, max_bytes=max_bytes)
        if isinstance(decoded, Rejection):
            raise InvalidInput(f"message {number}: {decoded.code}: {decoded.message}")
