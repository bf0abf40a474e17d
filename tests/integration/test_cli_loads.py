"""``jobu loads …`` as typed, on a real target."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from jobu_admin.cli import build_app
from jobu_core.errors import Conflict, InvalidParams, NotFound
from jobu_core.pipeline.load.engine import load_parquet
from tests.load_bench import items

if TYPE_CHECKING:
    from typer.testing import Result

    from tests.load_bench import Bench

CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture
def loaded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a target with two loads, whose project the command finds."""
    shutil.copytree(CONFIG, bench.folder / "config")
    monkeypatch.setenv("JOBU_ROOT", str(bench.folder))
    monkeypatch.setenv("JOBU_STACK", "external")
    monkeypatch.setenv("JOBU_DATABASE_URL", bench.url)
    monkeypatch.setenv("JOBU_BROKER_URL", "redis://127.0.0.1:1/0")
    for at, table in enumerate(("items", "others"), start=1):
        load_parquet(
            bench.request(items(3), table, create=True, load_id_column=True, execution_id=at)
        )
    return bench


def run(*arguments: object, answer: str | None = None) -> Result:
    """Run ``jobu loads`` in this process."""
    return CliRunner().invoke(build_app(), ["loads", *map(str, arguments)], input=answer)


def listed(*arguments: object) -> list[dict[str, Any]]:
    """Return what ``list --json`` printed."""
    result = run("list", *arguments, "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_loads_of_every_database_or_of_one_table_are_listed(loaded: Bench) -> None:
    """Newest first, with what a program may want to know."""
    assert [(each["load_id"], each["target"]) for each in listed()] == [
        (2, "public.others"),
        (1, "public.items"),
    ]
    (one,) = listed("--target", "default.public.items")
    assert (one["rows"], one["mode"], one["stamped"], one["undone_at"]) == (3, "append", True, None)
    assert "public.items" in run("list").stdout
    assert [each["load_id"] for each in listed("-n", 1)] == [2]
    missing = run("list", "--database", "defalt")
    assert isinstance(missing.exception, NotFound)
    assert "did you mean 'default'" in str(missing.exception)
    assert loaded.count("items") == 3


def test_a_database_that_is_not_there_does_not_hide_the_others(
    loaded: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told on stderr, with exit code 1."""
    monkeypatch.setenv("JOBU_DATABASES__AWAY__URL", "postgresql://nobody@127.0.0.1:1/x")
    result = run("list", "--json")
    assert result.exit_code == 1
    assert "'away' is not reachable" in result.stderr
    assert len(json.loads(result.stdout)) == 2
    assert loaded.count("items") == 3


def test_an_undo_asks_first(loaded: Bench) -> None:
    """Anything but yes leaves the rows."""
    refused = run("undo", 1, "--database", "default", answer="n\n")
    assert isinstance(refused.exception, InvalidParams)
    assert "3 rows into default.public.items" in refused.stderr
    assert loaded.count("items") == 3
    done = run("undo", 1, "--database", "default", "--why", "wrong day", answer="y\n")
    assert "3 of its 3 rows" in done.stdout
    assert loaded.count("items") == 0
    assert loaded.rows("SELECT what, subject, why, after ->> 'deleted' FROM audit_log") == [
        ("loads.undo", "jobu_loads/default/1", "wrong day", "3")
    ]


def test_an_undo_can_be_told_not_to_ask(loaded: Bench) -> None:
    """For scripts; what cannot be undone is refused with its reason."""
    result = run("undo", 2, "--database", "default", "--yes", "--json")
    assert json.loads(result.stdout)["deleted"] == 3
    again = run("undo", 2, "--database", "default", "--yes")
    assert isinstance(again.exception, Conflict)
    assert isinstance(run("undo", 9, "--database", "default").exception, NotFound)
    assert isinstance(run("undo", 1, "--database", "nowhere", "-y").exception, NotFound)
    assert loaded.count("items") == 3
