"""``make demo``: the stack up, one cron job and two Kafka events, and what came of them.

Leaves the stack running and writes ``.jobu/demo.json``. May be run again and again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import typer

from jobu_admin.cli.output import print_rows
from jobu_admin.cli.session import open_store, operator
from jobu_admin.cli.stack import urls
from jobu_core.config import load_settings
from jobu_core.dispatcher.cron.edit import add_job, edit_job, set_enabled
from jobu_core.dispatcher.cron.manual import run_now
from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.errors import JobuError, NotFound
from jobu_core.models import TERMINAL, Execution, ParamSource, Status
from jobu_core.services import stack
from jobu_core.services.waiting import wait_until
from jobu_core.store.cron_jobs import find_job
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution, list_executions

if TYPE_CHECKING:
    from pathlib import Path

    from jobu_core.services.endpoints import Endpoints
    from jobu_core.services.runtime import Runtime

JOB_NAME: Final = "demo_sample"
KNOWN_MESSAGE: Final = (
    b'{"handler_name": "pandas_preprocess", "params": {"input_path": "/data/raw/sample.csv",'
    b' "output_path": "/data/processed/sample.parquet"}, "job_id": null}'
)
"""The message of the predecessor's users, byte for byte."""

PIPELINE_MESSAGE: Final = b'{"handler_name": "pipeline", "params": {"dataset": "sample"}}'
_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.25
_LOOK_BACK: Final = 200
_COLUMNS: Final = ("what", "execution_id", "handler", "status", "rows")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one thing that the demo asked for."""

    execution_id: int
    status: str
    rows: int | None
    handler: str
    error: str | None


def main() -> None:
    """Run the demo; exit 1 when anything did not end in SUCCESS."""
    try:
        succeeded = run()
    except JobuError as error:
        sys.stderr.write(f"jobu demo: {error}\n")
        sys.exit(1)
    sys.exit(0 if succeeded else 1)


def run() -> bool:
    """Bring the stack up, ask for the three executions, wait, and tell."""
    settings = load_settings()
    where = stack.up(settings, typer.echo)
    with open_store(kafka=True) as runtime:
        cron = _wait_for_end(runtime, run_cron_job(runtime))
        known, pipeline = send_events(runtime, [KNOWN_MESSAGE, PIPELINE_MESSAGE])
        outcomes = {
            "cron": cron,
            "event": _wait_for_end(runtime, known),
            "pipeline_event": _wait_for_end(runtime, pipeline),
        }
        _switch_on(runtime)
    write_report(settings.state_dir / "demo.json", outcomes, where)
    _tell(outcomes, where)
    return all(outcome.status == Status.SUCCESS for outcome in outcomes.values())


def run_cron_job(runtime: Runtime) -> int:
    """Save the demo's job and run it at once; it fires by itself only afterwards.

    A scheduled load between the demo's own would make theirs stale, rightly but
    confusingly.
    """
    values: dict[str, Any] = {
        "name": JOB_NAME,
        "description": "Loads data/raw/sample.csv into public.sample.",
        "cron_expression": "* * * * *",
        "handler_name": "pipeline",
        "handler_params": {"dataset": "sample"},
        "is_enabled": False,
    }
    where = (runtime.engine, runtime.registry, runtime.settings.dispatcher)
    if _exists(runtime, JOB_NAME):
        edit_job(*where, JOB_NAME, values, who=operator())
    else:
        add_job(*where, values, who=operator())
    return run_now(runtime.engine, runtime.registry, JOB_NAME, who=operator())


def send_events(runtime: Runtime, values: list[bytes]) -> list[int]:
    """Publish messages and return, in order, the executions that they became."""
    queue = runtime.settings.queue_dispatcher
    newest = max((each.id for each in _recent_events(runtime)), default=0)
    adapter = KafkaAdapter(
        queue.kafka_bootstrap_servers,
        queue.kafka_topic,
        queue.kafka_group_id,
        runtime.settings.kafka.client,
    )
    with adapter:
        sent = adapter.publish(queue.kafka_topic, [OutgoingMessage(value) for value in values])
    made: dict[tuple[int | None, int | None], int] = {}

    def arrived() -> bool:
        for each in _recent_events(runtime):
            if each.id > newest:
                made[each.kafka_partition, each.kafka_offset] = each.id
        return all(place in made for place in sent)

    if not wait_until(arrived, seconds=_SECONDS, poll_seconds=_POLL_SECONDS):
        raise JobuError(
            f"not every message became an execution in {_SECONDS:.0f} s;"
            " see `jobu dead-letters list` and `jobu doctor`",
        )
    return [made[place] for place in sent]


def write_report(path: Path, outcomes: dict[str, Outcome], where: Endpoints) -> None:
    """Write what happened for programs, whole or not at all."""
    report = {
        **{name: asdict(outcome) for name, outcome in outcomes.items()},
        "dagster_url": where.dagster_web_url,
        "kafka": where.kafka_bootstrap,
        "database_url": where.database_url,
    }
    beside = path.with_suffix(".new")
    beside.touch(mode=0o600)
    beside.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    beside.replace(path)


def _switch_on(runtime: Runtime) -> None:
    where = (runtime.engine, runtime.registry, runtime.settings.dispatcher)
    set_enabled(*where, JOB_NAME, enabled=True, who=operator())


def _exists(runtime: Runtime, name: str) -> bool:
    try:
        with transaction(runtime.engine) as connection:
            find_job(connection, name)
    except NotFound:
        return False
    return True


def _recent_events(runtime: Runtime) -> list[Execution]:
    with transaction(runtime.engine) as connection:
        return list_executions(connection, source=ParamSource.EVENT, limit=_LOOK_BACK)


def _wait_for_end(runtime: Runtime, execution_id: int) -> Outcome:
    def read() -> Execution:
        with transaction(runtime.engine) as connection:
            return get_execution(connection, execution_id)

    wait_until(
        lambda: read().status in TERMINAL,
        seconds=_SECONDS,
        poll_seconds=_POLL_SECONDS,
    )
    ended = read()
    rows = ended.result.get("rows") if isinstance(ended.result, dict) else None
    return Outcome(
        execution_id=ended.id,
        status=ended.status.value,
        rows=rows,
        handler=ended.handler_name,
        error=ended.error_message,
    )


def _tell(outcomes: dict[str, Outcome], where: Endpoints) -> None:
    typer.echo()
    rows = [{"what": name, **asdict(outcome)} for name, outcome in outcomes.items()]
    print_rows(rows, _COLUMNS, as_json=False)
    for name, outcome in outcomes.items():
        if outcome.error:
            typer.echo(f"{name}: {outcome.error}", err=True)
    typer.echo()
    for line in urls(where):
        typer.echo(line)
    typer.echo(f"\nThe cron job {JOB_NAME} runs every minute: `jobu cron disable {JOB_NAME}`.")
    typer.echo("`jobu executions list` shows what ran, `make down` ends the stack.")


if __name__ == "__main__":
    main()
