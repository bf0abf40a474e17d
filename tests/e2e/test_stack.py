"""The commands that bring jobu up and down, as a person runs them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from jobu_admin.demo import KNOWN_MESSAGE
from jobu_core.services import orphans
from jobu_core.services.health import ask_dagster, web_address
from jobu_core.services.layout import layout_of
from jobu_core.services.supervisord import Supervisord
from jobu_core.services.waiting import wait_until
from tests.fix_project import REPOSITORY

if TYPE_CHECKING:
    from jobu_core.config import Settings

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("stack")]

_STOP_SECONDS = 10


def _jobu(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobu_admin.cli", *words],
        check=check,
        capture_output=True,
        text=True,
        timeout=300,
    )


def _states() -> dict[str, str]:
    listed = json.loads(_jobu("status", "--json").stdout)
    return {each["program"]: each["state"] for each in listed}


def _executions() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_jobu("executions", "list", "--json").stdout)
    return found


def _send(settings: Settings, kcat: str) -> None:
    queue = settings.queue_dispatcher
    command = [kcat, "-P", "-b", queue.kafka_bootstrap_servers, "-t", queue.kafka_topic]
    message = b'{"handler_name": "sample_handler", "params": {"key": "value"}}'
    subprocess.run(command, input=message, check=True, timeout=30)


def _is_celery(process: psutil.Process) -> bool:
    try:
        return "celery" in process.cmdline()
    except psutil.Error:  # it ended in between
        return False


def _pid_of(settings: Settings, program: str) -> int:
    info = Supervisord(layout_of(settings)).info(program)
    assert info is not None
    assert info.pid is not None
    return info.pid


def test_the_demo_runs_twice_and_the_stack_resumes_after_kills(embedded: Settings) -> None:
    """Demo, demo again, daemon killed, up again, doctor content, down: nothing is left."""
    report = embedded.state_dir / "demo.json"
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "jobu_admin.demo"], check=True, timeout=300)
        told = json.loads(report.read_text())
        for name in ("cron", "event", "pipeline_event"):
            assert (told[name]["status"], told[name]["rows"]) == ("SUCCESS", 100)
    (event,) = (each for each in _executions() if each["id"] == told["event"]["execution_id"])
    assert event["params"] == json.loads(KNOWN_MESSAGE)["params"]

    psutil.Process(_pid_of(embedded, "daemon")).kill()
    before = _pid_of(embedded, "worker")
    _jobu("up")
    assert set(_states().values()) == {"RUNNING"}
    assert _pid_of(embedded, "worker") == before, "what runs is not restarted"
    assert _jobu("doctor").returncode == 0

    said = _jobu("down").stdout
    assert ".jobu/pg" in said
    assert "messages are gone" in said
    assert orphans.stack_processes(layout_of(embedded)) == []
    assert set(_states().values()) == {"STOPPED"}
    assert _jobu("doctor", check=False).returncode == 1


def test_up_names_the_setting_of_a_taken_port(embedded: Settings) -> None:
    """One line on stderr, exit code 1."""
    where = web_address(embedded)
    with socket.create_server((where.host, where.port)):
        done = _jobu("up", check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert str(where.port) in line
    assert "admin.dagster_port" in line


@pytest.mark.parametrize("parts", [[], ["queue_dispatcher", "worker"]])
def test_main_py_alone_is_a_working_system(
    embedded: Settings,
    kcat: str,
    parts: list[str],
) -> None:
    """An event sent to it ends in SUCCESS; Ctrl-C ends all of it within ten seconds."""
    command = [sys.executable, str(REPOSITORY / "main.py"), *parts]
    log = embedded.root / "main.log"
    with log.open("wb") as output:
        main = psutil.Popen(command, stdout=output, stderr=output, cwd=embedded.root)
    try:
        assert wait_until(lambda: "started Kafka" in log.read_text(), seconds=60)
        _send(embedded, kcat)
        assert wait_until(
            lambda: [each["status"] for each in _executions()] == ["SUCCESS"],
            seconds=90,
            poll_seconds=1,
        ), log.read_text()
        assert Supervisord(layout_of(embedded)).info("worker") is None or (
            _states()["worker"] == "STOPPED"
        ), "the background adds no second worker"
        if not parts:
            assert ask_dagster(embedded) is not None
        children = main.children(recursive=True)
        main.send_signal(signal.SIGINT)
        assert main.wait(_STOP_SECONDS) == 0
        _, left = psutil.wait_procs(children, timeout=3)  # init reaps in its own time
        assert left == []
    finally:
        for each in [*main.children(recursive=True), main] if main.is_running() else []:
            each.kill()


def test_down_ends_what_a_killed_main_py_left(embedded: Settings) -> None:
    """Its parts are found by the mark in their environment."""
    command = [sys.executable, str(REPOSITORY / "main.py"), "worker"]
    main = psutil.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert wait_until(lambda: any(map(_is_celery, main.children(recursive=True))), seconds=100)
    main.kill()
    main.wait(10)
    layout = layout_of(embedded)
    assert any(map(_is_celery, orphans.stack_processes(layout)))
    _jobu("down")
    assert orphans.stack_processes(layout) == []


def test_an_unknown_part_is_a_usage_error() -> None:
    """Exit code 2, with the known parts."""
    command = [sys.executable, str(REPOSITORY / "main.py"), "workers"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "dispatcher, queue_dispatcher, worker, admin" in done.stderr


def test_a_missing_url_of_the_external_stack_is_one_line(
    embedded: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is started, the setting and its variable are named."""
    monkeypatch.setenv("JOBU_STACK", "external")
    done = _jobu("up", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("jobu: databases.default.url (JOBU_DATABASE_URL)")
    assert not embedded.state_dir.exists()
