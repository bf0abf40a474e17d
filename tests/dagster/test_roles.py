"""Least privilege: everything runs with the documented rights, and no role can do more."""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, LiteralString

import dagster as dg
import psycopg
import pytest
from confluent_kafka import Producer
from psycopg import sql
from sqlalchemy.engine import make_url

import jobu_dagster.process
from jobu_admin.cli import main
from jobu_core.errors import LoadRefused
from jobu_core.models import Status
from jobu_core.pipeline.load.postgres import load_parquet
from jobu_core.pipeline.load.request import Mode, Strategy
from jobu_core.store.engine import transaction
from jobu_core.store.executions import list_executions
from jobu_core.store.schema import metadata
from jobu_dagster.definitions import build_definitions
from jobu_dagster.launching import claim
from jobu_dagster.private import open_instance
from jobu_dagster.process import Process
from jobu_dagster.runs import DagsterRunGateway
from tests.fix_worker import Workers
from tests.load_bench import Bench, items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = PROJECT / "docs" / "security.md"
SCRIPTS: Final = PROJECT / "docker" / "sql"
TABLES: Final = sorted([*(table.name for table in metadata.sorted_tables), "jobu_migrations"])
RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


def run_script(url: str, name: str) -> None:
    """Run one of the shipped SQL files, twice: each may be run again."""
    text = (SCRIPTS / name).read_text(encoding="utf-8")
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(2):
            connection.execute(text.encode())


def as_role(url: str, role: str) -> str:
    """Return the URL of the same database for another role."""
    return make_url(url).set(username=role).render_as_string(hide_password=False)


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[Callable[[str], str]]:
    """Return a function that makes an empty database of that name; dropped after the test."""
    made: list[str] = []

    def make(name: str) -> str:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        return make_url(postgres_url).set(database=name).render_as_string(hide_password=False)

    yield make
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in made:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(drop)


@pytest.fixture
def jobu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a ``jobu`` command and returns what it printed."""

    def run(*arguments: str, fails: bool = False) -> str:
        monkeypatch.setattr(sys, "argv", ["jobu", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert bool(ended.value.code) is fails, said.err
        return said.err if fails else said.out

    return run


@pytest.fixture
def store(
    project: Path,
    empty_database: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    jobu: Callable[..., str],
) -> str:
    """Lay out the roles, migrate as the owner, go on as ``jobu_app``; returns the admin's URL."""
    admin, target = empty_database("job_store"), empty_database("warehouse")
    run_script(admin, "roles.sql")
    run_script(target, "target.sql")
    monkeypatch.setenv("JOBU_DATABASE_URL", as_role(admin, "jobu_owner"))
    assert "revision" in jobu("migrate")
    run_script(as_role(admin, "jobu_owner"), "grants.sql")
    monkeypatch.setenv("JOBU_DATABASE_URL", as_role(admin, "jobu_app"))
    monkeypatch.setenv("JOBU_DATABASES__WAREHOUSE__URL", as_role(target, "jobu_loader"))
    datasets = project / "config" / "datasets.yaml"
    datasets.write_text(datasets.read_text().replace("default.public", "warehouse.public"))
    return admin


def test_only_the_owner_prunes(
    store: str, jobu: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line's own role may count what would go; to delete takes the owner's."""
    monkeypatch.setattr(jobu_dagster.process, "_current", Process())
    assert "executions" in jobu("prune", "--dry-run")
    assert "run prune as the owner of the tables" in jobu("prune", fails=True)
    monkeypatch.setenv("JOBU_DATABASE_URL", as_role(store, "jobu_owner"))
    assert "executions" in jobu("prune")


@pytest.fixture
def app(store: str, mock_kafka: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """Return what the processes of jobu use, connected as ``jobu_app``."""
    del store
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", mock_kafka)
    own = Process()
    monkeypatch.setattr(jobu_dagster.process, "_current", own)
    yield own
    own.close()


def tick(process: Process, root: Path, sensor: str) -> None:
    """Evaluate one sensor, as Dagster's daemon does."""
    found = build_definitions(process.runtime().registry).get_repository_def()
    with dg.build_sensor_context(instance=open_instance(root)) as context:
        found.get_sensor_def(sensor).evaluate_tick(context)


def dispatch_cron(process: Process, root: Path) -> None:
    """Evaluate the schedule of ``pipeline``, as Dagster's daemon does."""
    schedule = (
        build_definitions(process.runtime().registry)
        .get_repository_def()
        .get_schedule_def("cron_pipeline")
    )
    at = datetime.now(UTC)
    with dg.build_schedule_context(
        instance=open_instance(root), scheduled_execution_time=at
    ) as context:
        schedule.evaluate_tick(context)


def send(kafka: str, *values: bytes) -> None:
    """Publish messages to the topic."""
    producer = Producer({"bootstrap.servers": kafka})
    for value in values:
        producer.produce("jobu-events", value)
    assert producer.flush(10) == 0


def test_everything_runs_with_the_documented_rights(
    app: Process,
    store: str,
    project: Path,
    mock_kafka: str,
    jobu: Callable[..., str],
) -> None:
    """Cron, events, dead letters, launch, worker, load, retry and cancel as ``jobu_app``."""
    jobu("cron", "add", "nightly", "--cron", "* * * * *", "--handler", "pipeline",
         "--params", '{"dataset": "sample"}')  # fmt: skip
    jobu("cron", "run", "nightly")
    send(mock_kafka, b'{"handler_name": "pipeline", "params": {"dataset": "sample"}}', b"garbage")
    for sensor in ("kafka_events", "reconciler"):
        tick(app, project, sensor)
    dispatch_cron(app, project)
    execute(app, project)
    with transaction(app.runtime().engine) as connection:
        rows = list_executions(connection)
    assert [(row.param_source.value, row.status.value, row.error_message) for row in rows] == [
        ("event", "SUCCESS", None),
        ("cron", "SUCCESS", None),
    ], (project / "worker.log").read_text()[-3000:]
    operate(jobu)
    with psycopg.connect(make_url(store).set(database="warehouse").render_as_string()) as target:
        owners = target.execute("SELECT tablename, tableowner FROM pg_tables WHERE schemaname = "
                                "'public' ORDER BY 1").fetchall()  # fmt: skip
    assert owners == [("jobu_loads", "jobu_loader"), ("sample", "jobu_loader")]


def execute(process: Process, root: Path) -> None:
    """Launch what waits, on a real worker, until it has ended."""
    instance, registry = open_instance(root), process.runtime().registry
    gateway, reconciler = DagsterRunGateway(instance, root, registry), process.reconciler(instance)
    workers = Workers(root)
    try:
        workers.start()
        deadline = time.monotonic() + 90
        while not ended(process) and time.monotonic() < deadline:
            reconciler.tick()
            for batch in claim(process.runtime()).batches:
                gateway.launch(batch)
    finally:
        workers.close()


def ended(process: Process) -> bool:
    """Say whether both executions are there and over."""
    with transaction(process.runtime().engine) as connection:
        rows = list_executions(connection)
    over = {Status.SUCCESS, Status.FAILED, Status.TIMEOUT, Status.CANCELED}
    return len(rows) == 2 and all(row.status in over for row in rows)


def operate(jobu: Callable[..., str]) -> None:
    """Use every command that writes, and those that read."""
    made = json.loads(jobu("executions", "list", "--json"))[0]["id"]
    retried = json.loads(jobu("executions", "retry", str(made), "--json"))["execution_id"]
    jobu("executions", "cancel", str(retried))
    jobu("cron", "edit", "nightly", "--overlap", "allow")
    jobu("cron", "disable", "nightly")
    jobu("cron", "enable", "nightly")
    (letter,) = json.loads(jobu("dead-letters", "list", "--json"))
    jobu("dead-letters", "discard", letter["id"])
    jobu("cron", "delete", "nightly")


def test_the_store_is_refused_with_advice_until_its_owner_has_migrated(
    project: Path,
    empty_database: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    jobu: Callable[..., str],
) -> None:
    """The app's role cannot create tables; the error says who must do what."""
    del project
    admin = empty_database("unmigrated")
    run_script(admin, "roles.sql")
    monkeypatch.setenv("JOBU_DATABASE_URL", as_role(admin, "jobu_app"))
    assert "run `jobu migrate` as the owner" in jobu("executions", "list", fails=True)
    monkeypatch.setenv("JOBU_DATABASE_URL", as_role(admin, "jobu_owner"))
    jobu("migrate")
    monkeypatch.setenv("JOBU_DATABASE_URL", as_role(admin, "jobu_app"))
    assert "docker/sql/grants.sql" in jobu("executions", "list", fails=True)


REFUSED: Final = [
    ("jobu_app", "DROP TABLE job_executions"),
    ("jobu_app", "CREATE TABLE public.mine (a int)"),
    ("jobu_app", "ALTER TABLE job_executions DISABLE TRIGGER ALL"),
    ("jobu_app", "TRUNCATE job_executions CASCADE"),
    ("jobu_app", "DELETE FROM job_executions"),
    ("jobu_app", "DELETE FROM kafka_positions"),
    ("jobu_app", "UPDATE offset_gaps SET to_offset = 9"),
    ("jobu_app", "UPDATE audit_log SET who = 'nobody'"),
    ("jobu_app", "DELETE FROM audit_log"),
    ("jobu_app", "SELECT * FROM audit_log"),
    ("jobu_app", "UPDATE jobu_migrations SET version_num = 'x'"),
    ("jobu_app", "DROP TABLE dagster.runs"),
    ("jobu_app", "CREATE TABLE dagster.mine (a int)"),
    ("jobu_app", "CREATE SCHEMA mine"),
    ("jobu_app", "CREATE ROLE mine"),
    ("jobu_app", "SELECT pg_reload_conf()"),
    ("jobu_app", "COPY cron_jobs TO PROGRAM 'cat'"),
    ("jobu_app", "COPY cron_jobs TO '/mine'"),
    ("jobu_app", "SET ROLE jobu_owner"),
    ("jobu_app", "CREATE OR REPLACE FUNCTION public.jobu_now() RETURNS int LANGUAGE sql RETURN 1"),
    ("jobu_read", "SET default_transaction_read_only = off; DELETE FROM cron_jobs"),
    ("jobu_read", "SET default_transaction_read_only = off; INSERT INTO workers DEFAULT VALUES"),
    ("jobu_read", "SELECT * FROM dagster.runs"),
    ("jobu_read", "SET ROLE jobu_app"),
    ("jobu_loader", "SELECT 1"),
    ("jobu_owner", "CREATE ROLE mine"),
    ("jobu_owner", "COPY cron_jobs TO PROGRAM 'cat'"),
]


GRANTED: Final = [
    ("SELECT, INSERT", Mode.APPEND, Strategy.AUTO, True),
    ("SELECT, INSERT", Mode.REPLACE, Strategy.AUTO, False),
    ("SELECT, INSERT, DELETE", Mode.REPLACE, Strategy.DELETE, True),
    ("SELECT, INSERT, DELETE", Mode.REPLACE, Strategy.TRUNCATE, False),
    ("SELECT, INSERT, TRUNCATE", Mode.REPLACE, Strategy.TRUNCATE, True),
]


@pytest.mark.parametrize(("grant", "mode", "strategy", "loads"), GRANTED)
def test_a_table_of_somebody_else_takes_what_was_granted(
    empty_database: Callable[[str], str],
    tmp_path: Path,
    grant: LiteralString,
    mode: Mode,
    strategy: Strategy,
    *,
    loads: bool,
) -> None:
    """As the page says: rows are added with two rights, replaced with a third."""
    admin = empty_database("warehouse")
    run_script(admin, "target.sql")
    Bench(admin, tmp_path).run(
        "CREATE TABLE items (id bigint, name text, value float8)",
        f"GRANT {grant} ON items TO jobu_loader",
    )
    bench = Bench(as_role(admin, "jobu_loader"), tmp_path)
    request = bench.request(items(3), mode=mode, strategy=strategy)
    with nullcontext() if loads else pytest.raises(LoadRefused):
        load_parquet(request)
    assert bench.count("items") == (3 if loads else 0)


def test_no_role_can_do_what_is_not_its_business(store: str) -> None:
    """Each is refused by the database itself; the loader does not even enter the job store."""
    allowed = [(role, query) for role, query in REFUSED if is_allowed(store, role, query)]
    assert allowed == []


def is_allowed(url: str, role: str, query: str) -> bool:
    """Try it, and undo it."""
    try:
        with psycopg.connect(as_role(url, role)) as connection:
            connection.execute(query.encode())
            connection.rollback()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
        return False
    except psycopg.OperationalError as error:
        if "permission denied for database" in str(error):
            return False
        raise
    return True


def test_the_page_says_what_the_database_grants(store: str) -> None:
    """docs/security.md lists each table with the rights that `jobu_app` and `jobu_read` have."""
    with psycopg.connect(store) as connection:
        granted = {
            table: tuple(rights_of(connection, role, table) for role in ("jobu_app", "jobu_read"))
            for table in TABLES
        }
    rows = re.findall(
        r"^\| `(\w+)` \| ([\w, -]+) \| ([\w, -]+) \|$", PAGE.read_text(), re.MULTILINE
    )
    assert {name: (app, read) for name, app, read in rows} == granted


def rights_of(connection: psycopg.Connection, role: str, table: str) -> str:
    """Return a role's rights on a table as the page writes them."""
    has = "SELECT has_table_privilege(%s, %s, %s)"
    found = [
        right.lower()
        for right in RIGHTS
        if (connection.execute(has, (role, table, right)).fetchone() or [False])[0]
    ]
    return ", ".join(found) or "-"
