"""The containers of docker/ as plain processes: same commands, environment, health checks.

Addresses that only containers have are replaced; nothing else is. Ending one is what
Docker does: SIGTERM to the main process, the grace period, then all of it is killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil

from jobu_core.services.waiting import wait_until
from tests.compose_files import DOCKER, Service, seconds, services

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PROJECT: Final = DOCKER.parent
IMAGE_ROOT: Final = "/opt/jobu"
_COPIED: Final = ("main.py", "dagster.yaml", "workspace.yaml", "docker/workspace.yaml")
_SLOW: Final = 2
"""This machine may be so many times slower than one that only runs containers."""


def lay_out(root: Path) -> None:
    """Make the image's folder; its config/ and data/ are copies of the project's."""
    for name in _COPIED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, root / name)
    shutil.copytree(PROJECT / "config", root / "config")
    shutil.copytree(PROJECT / "data" / "raw", root / "data" / "raw")
    home = root / ".jobu" / "dagster_home"
    home.mkdir(parents=True)
    (home / "dagster.yaml").symlink_to(root / "dagster.yaml")


def image_environment() -> dict[str, str]:
    """Return what the Dockerfile's last ENV sets, PATH and HOME of this machine kept."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"^ENV (.+)$", text, re.MULTILINE)[-1]
    given = dict(each.split("=", 1) for each in found.split())
    return {name: value for name, value in given.items() if name not in {"PATH", "HOME"}}


@dataclass
class Containers:
    """Processes that stand for containers of one project."""

    root: Path
    """Stands for the image's folder."""
    addresses: Mapping[str, str]
    """What a container calls it → what it is called here."""
    variables: Mapping[str, str]
    """What stands in for variables whose value is a word that also means other things."""
    _running: dict[str, tuple[subprocess.Popen[bytes], Service]] = field(default_factory=dict)

    def run(self, service: str) -> None:
        """Run a service that ends by itself; it must end well."""
        given = services()[service]
        command = self._command(given["command"])
        with self._log(service).open("wb") as log:
            subprocess.run(
                command,
                check=True,
                cwd=self.root,
                env=self._environment(given, {}),
                stdout=log,
                stderr=log,
                timeout=120,
            )

    def start(self, service: str, name: str = "", **extra: str) -> subprocess.Popen[bytes]:
        """Start one container of ``service``, called ``name`` when there are several."""
        given = services()[service]
        name = name or service
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(
                self._command(given["command"], name),
                cwd=self.root,
                env=self._environment(given, extra),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running[name] = process, given
        return process

    def wait_healthy(self, name: str) -> None:
        """Wait until the service's own health check says so, as long as compose would."""
        process, given = self._running[name]
        check = given["healthcheck"]
        kind, *command = check["test"]
        assert kind == "CMD"
        environment = self._environment(given, {})

        def healthy() -> bool:
            assert process.poll() is None, f"{name} ended: {self.log(name)}"
            done = subprocess.run(
                self._command(command),
                check=False,
                cwd=self.root,
                env=environment,
                capture_output=True,
                timeout=seconds(check["timeout"]) * _SLOW,
            )
            return done.returncode == 0

        patience = seconds(check["start_period"]) + seconds(check["interval"]) * check["retries"]
        assert wait_until(healthy, seconds=patience, poll_seconds=0.5), self.log(name)

    def stop(self) -> dict[str, int]:
        """End all at once; returns each exit code, -6 for those that Docker would have killed.

        Where each thread of those was is at the end of their log.
        """
        for process, _ in self._running.values():
            process.send_signal(signal.SIGTERM)
        codes = {}
        for name, (process, given) in self._running.items():
            try:
                codes[name] = process.wait(seconds(given["stop_grace_period"]))
            except subprocess.TimeoutExpired:
                codes[name] = self._abort(process)
            self._kill_rest(process.pid)
        self._running.clear()
        return codes

    def log(self, name: str) -> str:
        """Return the end of what a container has written."""
        return f"{name}:\n{self._log(name).read_text(errors='replace')[-9000:]}"

    def _log(self, name: str) -> Path:
        return self.root.parent / f"{name}.log"

    def _abort(self, process: subprocess.Popen[bytes]) -> int:
        """Let it and its children write down where they are (PYTHONFAULTHANDLER), and end."""
        main = psutil.Process(process.pid)
        for each in (*main.children(recursive=True), main):
            with contextlib.suppress(psutil.Error):
                each.send_signal(signal.SIGABRT)
        return process.wait()

    def _kill_rest(self, session: int) -> None:
        """End what is left of a session, as the end of a container's first process does."""
        for each in psutil.process_iter():
            try:
                if os.getsid(each.pid) == session:
                    each.kill()
                    each.wait(5)
            except (ProcessLookupError, PermissionError, psutil.Error):
                continue

    def _environment(self, given: Service, extra: Mapping[str, str]) -> dict[str, str]:
        """Return the image's and the service's variables, and what any process here needs."""
        ours = {**image_environment(), **given["environment"]}
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        here = {name: self._here(str(value)) for name, value in ours.items()}
        return {**kept, **here, "PYTHONFAULTHANDLER": "1", **self.variables, **extra}

    def _command(self, words: Sequence[str], name: str = "") -> list[str]:
        programs = {"python": [sys.executable], "jobu": [sys.executable, "-m", "jobu_admin.cli"]}
        rest = [self._here(str(word)).replace("%h", name) for word in words[1:]]
        return [*programs[words[0]], *rest]

    def _here(self, text: str) -> str:
        for theirs, ours in self.addresses.items():
            text = text.replace(theirs, ours)
        return text.replace(IMAGE_ROOT, str(self.root))
