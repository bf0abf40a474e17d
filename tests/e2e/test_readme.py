"""What the README shows works: each command exists, the marked blocks are executed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer

from jobu_admin.cli import build_app
from jobu_core.config import load_settings
from jobu_core.dispatcher.queue.event import decode_event
from jobu_core.handlers.base import Retry
from jobu_core.handlers.registry import load_registry
from jobu_core.models import JobEvent
from jobu_core.pipeline.paths import Paths
from jobu_core.services.parts import PARTS
from tests.compose_files import read
from tests.readme import DATASETS, OPERATIONS, README, blocks

PROJECT = README.parent
LINES = [
    line.partition("    #")[0].removeprefix(".venv/bin/")
    for block in [*blocks("sh"), *blocks("sh", OPERATIONS), *blocks("sh", DATASETS)]
    for line in block.text.splitlines()
    if line.strip()
]
COMMAND: Any = typer.main.get_command(build_app())


def parse(arguments: list[str]) -> None:
    """Parse one ``jobu`` command as the shell would hand it over, without running it."""
    command, context = COMMAND, None
    while hasattr(command, "commands"):
        name, *arguments = arguments
        assert name in command.commands, f"jobu has no command {name!r}"
        command = command.commands[name]
    context = command.make_context(command.name, arguments)
    context.close()


def targets() -> set[str]:
    """Return the Makefile's targets."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def variables() -> set[str]:
    """Return the variables of the Makefile that may be given: those with a default."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE))


def profiles_of(compose_file: str) -> set[str]:
    """Return the profiles that a compose file knows."""
    services = read(compose_file)["services"].values()
    return {profile for each in services for profile in each.get("profiles", ())}


def after(option: str, words: list[str]) -> str | None:
    """Return the word behind ``option``, or None."""
    return words[words.index(option) + 1] if option in words else None


@pytest.mark.parametrize("line", LINES)
def test_every_shown_command_exists(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renamed command, option, target or setting makes the README fail."""
    program, *arguments = shlex.split(line)
    match program:
        case "make":
            wanted = {word for word in arguments if "=" not in word}
            assert wanted <= targets()
            assert set(arguments) - wanted <= {f"{name}=1" for name in variables()}
        case "jobu":
            parse(arguments)
        case "export":
            name, _, value = arguments[0].partition("=")
            monkeypatch.setenv(name, value)
            load_settings(PROJECT)
        case "docker":
            files = [word for word in arguments if word.endswith(".yaml")]
            profiles = {each for file in files for each in profiles_of(Path(file).name)}
            assert files
            assert {after("--profile", arguments)} <= {*profiles, None}
        case "python":
            assert (PROJECT / arguments[0]).is_file()
            assert set(arguments[1:]) <= set(PARTS)
        case "echo":
            assert isinstance(decode_event(arguments[0].encode(), max_bytes=10_000), JobEvent)
            assert arguments[-1] == load_settings(PROJECT).queue_dispatcher.kafka_topic
        case _:
            pytest.fail(f"no rule for {program!r}: add one, or leave the command out")


def test_every_command_of_the_table_exists() -> None:
    """The table lists what jobu has, and all that it has."""
    listed: set[tuple[str, ...]] = set()
    table = README.read_text(encoding="utf-8").split("\n## Commands\n")[1].split("\n## ")[0]
    for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE):
        noun: tuple[str, ...] = ()
        for shown in re.findall(r"`([^`]+)`", row):
            words = shown.split()
            if words[0] == "python":
                assert (PROJECT / words[1]).is_file()
                continue
            if words[0] == "jobu":
                words = words[1:]
                noun = tuple(words[:-1])
                listed.add(tuple(words))
            else:
                listed.add((*noun, *words))
    real = {(name,) for name, command in COMMAND.commands.items() if not _is_group(command)} | {
        (name, inside)
        for name, command in COMMAND.commands.items()
        if _is_group(command)
        for inside in command.commands
    }
    assert listed == real
    assert {(part,) for part in PARTS} <= listed


def _is_group(command: object) -> bool:
    return hasattr(command, "commands")


def test_the_cron_example_runs(project: Path) -> None:
    """The marked shell block ends well on a fresh job store."""
    (block,) = [block for block in blocks("sh") if block.executed]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],  # noqa: S607 - bash of the PATH
        cwd=project,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nightly" in done.stdout


class _Context:
    """As much of a HandlerContext as the example uses."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths({"/data": "./data"}, root)
        self.logger = structlog.get_logger()


def test_the_handler_example_is_a_handler(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The module as printed is found by the registry, checks its params and runs."""
    (block,) = blocks("python")
    (tmp_path / "readme_jobs").mkdir()
    (tmp_path / "readme_jobs" / "handlers.py").write_text(block.text, encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.txt").write_text("a\nb\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    settings = load_settings(tmp_path).handlers
    registry = load_registry(settings.model_copy(update={"modules": ("readme_jobs.handlers",)}), {})
    handler = registry.get("count_lines")
    context: Any = _Context(tmp_path)
    enough = registry.parse("count_lines", {"path": "/data/x.txt"})
    assert handler.run(context, enough) == {"lines": 2}
    with pytest.raises(Retry):
        handler.run(context, registry.parse("count_lines", {"path": "/data/x.txt", "at_least": 3}))
