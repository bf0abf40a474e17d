"""Embedded services start on first use, once, survive crashes, and end without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from jobu_core.errors import ServiceError
from jobu_core.services import orphans, postgres, stack
from jobu_core.services.endpoints import endpoints
from jobu_core.services.ensure import ensure_postgres, ensure_valkey, start_program
from jobu_core.services.layout import layout_of
from jobu_core.services.probes import broker_answers
from jobu_core.services.supervisord import Supervisord
from jobu_core.services.waiting import wait_until

if TYPE_CHECKING:
    from jobu_core.config import Settings

_ENSURE = """
from jobu_core.config import load_settings
from jobu_core.services.ensure import ensure_postgres
ensure_postgres(load_settings())
"""


def _ask(settings: Settings, statement: str) -> object:
    with psycopg.connect(endpoints(settings).database_url, autocommit=True) as connection:
        done = connection.execute(statement.encode())
        row = done.fetchone() if done.description else None
    return row[0] if row else None


def _down(settings: Settings) -> list[str]:
    said: list[str] = []
    stack.down(settings, said.append)
    return said


def _kill(pid: int | None) -> None:
    """Kill a process and wait until it is gone."""
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    process.wait(10)


def _ensure_in_a_process(_: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _ENSURE],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.stderr


def test_many_processes_at_once_start_one_server(embedded: Settings) -> None:
    """One of them starts and announces it in one line; all find it ready."""
    with ThreadPoolExecutor(4) as pool:
        said = "".join(pool.map(_ensure_in_a_process, range(4)))
    assert said.count("jobu: started PostgreSQL") == 1
    assert said.count("\n") == 1
    assert _ask(embedded, "SELECT current_user::text") == "jobu"


def test_the_data_survives_down_and_up(embedded: Settings) -> None:
    """Down says what it ended and where the data stays."""
    ensure_postgres(embedded)
    _ask(embedded, "CREATE TABLE kept AS SELECT 42 AS n")
    said = _down(embedded)
    assert "jobu: stopped postgres" in said
    assert any(".jobu/pg" in line for line in said)
    ensure_postgres(embedded)
    assert _ask(embedded, "SELECT n FROM kept") == 42


def test_down_leaves_no_process_and_a_second_one_is_harmless(embedded: Settings) -> None:
    """Nothing that the first use started is left."""
    ensure_postgres(embedded)
    ensure_valkey(embedded)
    layout = layout_of(embedded)
    assert orphans.stack_processes(layout)
    _down(embedded)
    assert orphans.stack_processes(layout) == []
    assert _down(embedded) == ["jobu: nothing was running"]


def test_down_ends_what_a_killed_supervisord_left(embedded: Settings) -> None:
    """Its children are found by their mark, PostgreSQL by its pid file."""
    ensure_postgres(embedded)
    ensure_valkey(embedded)
    layout = layout_of(embedded)
    _kill(orphans.supervisord_pid(layout))
    assert _ask(embedded, "SELECT 1") == 1
    _down(embedded)
    assert orphans.stack_processes(layout) == []
    ensure_postgres(embedded)
    assert _ask(embedded, "SELECT 1") == 1


def test_a_killed_server_comes_back_by_itself(embedded: Settings) -> None:
    """Supervisord restarts it; what was committed is there."""
    ensure_postgres(embedded)
    _ask(embedded, "CREATE TABLE kept AS SELECT 42 AS n")
    _kill(postgres.server_pid(layout_of(embedded)))
    ensure_postgres(embedded)
    assert _ask(embedded, "SELECT n FROM kept") == 42


def test_a_pid_file_that_names_another_process_is_no_server(embedded: Settings) -> None:
    """After a reboot or in a new container the pid belongs to somebody else."""
    ensure_postgres(embedded)
    _down(embedded)
    layout = layout_of(embedded)
    lines = [
        str(os.getpid()),
        str(layout.postgres_data),
        "1",
        "5432",
        str(layout.run),
        "",
        "",
        "ready",
    ]
    (layout.postgres_data / "postmaster.pid").write_text("\n".join([*lines, ""]))
    ensure_postgres(embedded)
    assert _ask(embedded, "SELECT 1") == 1


def test_an_interrupted_first_start_begins_again(embedded: Settings) -> None:
    """A half-made cluster is never taken for a database."""
    layout = layout_of(embedded)
    layout.prepare()
    half = layout.state / "pg.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    ensure_postgres(embedded)
    assert _ask(embedded, "SELECT 1") == 1
    assert not half.exists()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(
    embedded: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error holds what a person needs to read, not only that it failed."""
    monkeypatch.setattr("jobu_core.services.ensure._START_SECONDS", 3)
    ensure_postgres(embedded)
    _down(embedded)
    data = layout_of(embedded).postgres_data
    (data / "postgresql.conf").write_text("shared_buffers = nonsense\n")
    with pytest.raises(ServiceError, match=r"postgres\.log[\s\S]*nonsense"):
        ensure_postgres(embedded)


def test_valkey_answers_on_its_socket_and_keeps_nothing(embedded: Settings) -> None:
    """Celery's URL form works; a second start finds no old messages."""
    ensure_valkey(embedded)
    broker_answers(endpoints(embedded).broker_url)
    assert not list(layout_of(embedded).run.glob("*.rdb"))


def test_a_child_of_an_ending_stack_does_not_start_it_again(
    embedded: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise a tick during `jobu down` would undo it."""
    ensure_postgres(embedded)
    _down(embedded)
    layout = layout_of(embedded)
    monkeypatch.setenv("SUPERVISOR_SERVER_URL", layout.supervisor_url)
    with pytest.raises(ServiceError, match="being stopped"):
        ensure_postgres(embedded)
    assert orphans.stack_processes(layout) == []


def test_programs_get_default_signals_and_no_files_of_their_starter(embedded: Settings) -> None:
    """Started from a script with `&` SIGINT is ignored, and Dagster would ignore SIGTERM."""
    starter = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    opened = "import os; os.set_inheritable(os.open('/dev/zero', os.O_RDONLY), True)\n"
    subprocess.run([sys.executable, "-c", starter + opened + _ENSURE], check=True, timeout=100)
    with layout_of(embedded).locked():
        start_program(embedded, layout_of(embedded), "kafka")
    info = Supervisord(layout_of(embedded)).info("kafka")
    assert info is not None
    assert info.pid is not None
    process = psutil.Process(info.pid)
    assert not any(each.path == "/dev/zero" for each in process.open_files())
    if sys.platform == "linux":
        assert wait_until(lambda: not _ignores_interrupts(process.pid), seconds=10)


def _ignores_interrupts(pid: int) -> bool:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123 - a kernel file
        ignored = next(line for line in status if line.startswith("SigIgn"))
    return bool(int(ignored.split()[1], 16) & 1 << (signal.SIGINT - 1))
