"""Names what jobu relies on in Dagster's private API, so that an upgrade fails here first."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import jobu_dagster
from jobu_dagster import private

PACKAGE = Path(jobu_dagster.__file__).parent


def test_private_imports_live_in_one_module() -> None:
    """No other module of jobu_dagster imports ``dagster._…``."""
    pattern = re.compile(r"^\s*(from|import) dagster\._", re.MULTILINE)
    users = [path.name for path in PACKAGE.glob("*.py") if pattern.search(path.read_text())]
    assert users == ["private.py"]


def test_run_body_has_the_signature_we_call() -> None:
    """The worker's call of Dagster's run body is by position."""
    body = vars(private)["_execute_run_command_body"]
    parameters = list(inspect.signature(body).parameters)
    assert parameters == ["run_id", "instance", "write_stream_fn", "set_exit_code_on_failure"]


def test_instance_survives_a_message(project: Path) -> None:
    """What a task message carries opens the same storage and launcher classes."""
    opened = private.open_instance(project)
    again = private.instance_from_text(private.instance_to_text(opened))
    assert type(again.run_launcher).__name__ == "JobuRunLauncher"
    assert type(again.run_launcher) is type(opened.run_launcher)


def test_exported_names_exist() -> None:
    """``__all__`` is what others may use."""
    assert all(hasattr(private, name) for name in private.__all__)
