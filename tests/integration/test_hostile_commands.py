"""Whatever is typed after ``jobu``, the answer is one line and an exit code, never a traceback."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobu_admin.cli import main
from jobu_core.store.documents import storable

if TYPE_CHECKING:
    from collections.abc import Callable

_CONFIG = Path(__file__).resolve().parents[2] / "config"
_ADD = ("cron", "add", "x", "--cron", "0 2 * * *", "--handler", "sample_handler")
_BEYOND = str(2**63)
_DEEP = '{"a": ' + "[" * 3000 + "]" * 3000 + "}"
_DEEPER = '{"a": ' + "[" * 400 + "]" * 400 + "}"
_LONE = "x\udcff"
"""What Python makes of the byte FF in an argument."""

HOSTILE = {
    "an id beyond bigint": ("executions", "show", _BEYOND),
    "a page beyond bigint": ("executions", "list", "--before", _BEYOND),
    "a retry beyond bigint": ("executions", "retry", _BEYOND),
    "a cancel beyond bigint": ("executions", "cancel", _BEYOND),
    "a name that is not UTF-8": ("cron", "show", _LONE),
    "a filter that is not UTF-8": ("executions", "list", "--handler", _LONE),
    "a code that is not UTF-8": ("dead-letters", "list", "--code", _LONE),
    "a handler that is not UTF-8": ("events", "send", _LONE),
    "a key that is not UTF-8": ("events", "send", "sample_handler", "--key", _LONE),
    "a reason that is not UTF-8": ("executions", "cancel", "1", "--reason", _LONE),
    "a like pattern as id": ("dead-letters", "show", "%"),
    "a quote as id": ("dead-letters", "show", "' OR 1=1 --"),
    "SQL as a job's name": ("cron", "show", "x'; DROP TABLE cron_jobs; --"),
    "a very long name": ("cron", "show", "x" * 100_000),
    "params too deep to parse": (*_ADD, "--params", _DEEP),
    "params too deep to render": (*_ADD, "--params", _DEEPER),
    "params too long": (*_ADD, "--params", '{"a": "' + "x" * 2_000_000 + '"}'),
    "params with NaN": (*_ADD, "--params", '{"a": NaN}'),
    "params with NUL": (*_ADD, "--params", '{"a": "\\u0000"}'),
    "params with a lone surrogate": (*_ADD, "--params", '{"a": "\\ud800"}'),
    "params with a huge integer": (*_ADD, "--params", '{"a": ' + "9" * 5000 + "}"),
    "a placeholder that reaches for attributes": (
        *_ADD,
        "--params",
        '{"a": "{scheduled_time.__class__}"}',
    ),
    "an expression of NULs": ("cron", "add", "x", "--cron", "\x01", "--handler", "sample_handler"),
    "a handler that is a path": ("cron", "add", "x", "--cron", "0 2 * * *", "--handler", "../x"),
    "event params too deep": ("events", "send", "sample_handler", _DEEP),
    "event params with a huge integer": ("events", "send", "sample_handler", "9" * 5000),
    "a job id beyond bigint": ("events", "send", "sample_handler", "--job-id", _BEYOND),
}


@pytest.fixture
def jobu(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    database_url: str,
    mock_kafka: str,
) -> Callable[..., tuple[object, str]]:
    """Return a function that runs the command and returns its exit code and what it said."""
    shutil.copytree(_CONFIG, tmp_path / "config")
    monkeypatch.setenv("JOBU_ROOT", str(tmp_path))
    monkeypatch.setenv("JOBU_STACK", "external")
    monkeypatch.setenv("JOBU_DATABASE_URL", database_url)
    monkeypatch.setenv("JOBU_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_BOOTSTRAP_SERVERS", mock_kafka)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["jobu", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    return run


def test_a_hostile_argument_is_refused_in_one_short_answer(
    jobu: Callable[..., tuple[object, str]],
) -> None:
    """Exit code 1 or 2 and a reason that a person can read; the argument is not repeated whole."""
    wrong = {}
    for name, arguments in HOSTILE.items():
        code, said = jobu(*arguments)
        readable = said.strip() and len(said) < 2000 and storable(said) == said
        if code not in {1, 2} or not readable:
            wrong[name] = (code, said[:200])
    assert wrong == {}


def test_a_filter_is_a_value_and_no_pattern_or_statement(
    jobu: Callable[..., tuple[object, str]],
) -> None:
    """What finds nothing finds nothing; the tables are still there afterwards."""
    for hostile in ("%", "' OR '1'='1", "x'; DROP TABLE job_executions; --"):
        assert jobu("executions", "list", "--handler", hostile)[0] in {0, None}
        assert jobu("dead-letters", "list", "--topic", hostile)[0] in {0, None}
    assert jobu("executions", "list")[0] in {0, None}
