"""``jobu rejects …`` as typed, on a real store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from jobu_admin.cli import build_app
from jobu_core.errors import FileError, InvalidInput, NotFound
from tests.reload_bench import Reloading

if TYPE_CHECKING:
    from typer.testing import Result

    from tests.fix_aftermath import Aftermath

CONFIG = Path(__file__).resolve().parents[2] / "config"
FILE = "id,name,value\n1,a,1\nhidden-cell,b,2\n3,c,-3\n"


@pytest.fixture
def loading(aftermath: Aftermath, monkeypatch: pytest.MonkeyPatch) -> Reloading:
    """Return a system whose project the command finds."""
    site = aftermath.site
    shutil.copytree(CONFIG, site.root / "config")
    monkeypatch.setenv("JOBU_ROOT", str(site.root))
    monkeypatch.setenv("JOBU_STACK", "external")
    monkeypatch.setenv("JOBU_DATABASE_URL", site.url)
    monkeypatch.setenv("JOBU_BROKER_URL", "redis://127.0.0.1:1/0")
    return Reloading(aftermath)


def run(*arguments: object) -> Result:
    """Run ``jobu rejects`` in this process."""
    return CliRunner().invoke(build_app(), ["rejects", *map(str, arguments)])


def told(*arguments: object) -> Any:  # noqa: ANN401 - JSON's own shapes
    """Return what ``--json`` printed."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_rejects_are_shown_corrected_and_loaded(loading: Reloading) -> None:
    """The whole way by commands; a repetition loads nothing."""
    first = loading.load(FILE)
    shown = told("show", first.id)
    assert [(each["row_number"], each["field"]) for each in shown] == [(2, "id"), (3, "value")]
    assert "int_parsing" in run("show", first.id).stdout
    output = loading.folder / "fix.csv"
    assert told("export", first.id, output) == {"rows": 2, "file": str(output)}
    text = output.read_text(encoding="utf-8").replace('"hidden-cell"', '"2"').replace("-3", "3")
    output.write_text(text, encoding="utf-8")
    said = run("reload", first.id, output).stdout
    assert "is pending: 2 rows" in said
    loading.system.settle()
    assert loading.table == [(1, "a", 1), (2, "b", 2), (3, "c", 3)]
    again = told("reload", first.id, output)
    assert (again["executions"], list(again["already"].values())) == ([], [2])
    assert "already, and left out" in run("reload", first.id, output).stdout


def test_values_are_shown_only_if_they_were_kept(loading: Reloading) -> None:
    """show_values of the run decides, not who looks."""
    assert "hidden-cell" not in run("show", loading.load(FILE).id).output
    kept = loading.load(FILE, show_values=True)
    assert "hidden-cell" in run("show", kept.id).output


def test_only_so_many_are_shown_and_the_rest_is_counted(loading: Reloading) -> None:
    """In the order of the file."""
    first = loading.load(FILE)
    assert [each["row_number"] for each in told("show", first.id, "-n", 1)] == [2]
    assert "and 1 more" in run("show", first.id, "-n", 1).stdout


def test_rejects_of_a_failed_execution_can_be_shown(loading: Reloading) -> None:
    """They are what its latest attempt left; there is nothing to reload."""
    failed = loading.load("id,name,value\nx,a,1\n")
    assert [each["error_type"] for each in told("show", failed.id)] == ["int_parsing"]


def test_a_file_of_rejects_can_be_shown(loading: Reloading) -> None:
    """Where rejects_path said; anything else is no such file."""
    path = "/data/out/mine.parquet"
    first = loading.load(FILE, rejects_path=path)
    assert told("show", path) == told("show", first.id)
    (loading.folder / "data" / "out" / "mine.parquet").unlink()
    gone = run("show", first.id)
    assert isinstance(gone.exception, FileError)
    assert "is gone" in str(gone.exception)
    other = run("show", "/data/raw/sample.csv")
    assert isinstance(other.exception, InvalidInput)
    assert "no file of rejects" in str(other.exception)


def test_without_rejects_it_says_so(loading: Reloading) -> None:
    """Nothing rejected, an execution that is not there, a file that is not there."""
    clean = loading.load("id,name,value\n1,a,1\n")
    assert run("show", clean.id).stdout == "no rejects\n"
    assert isinstance(run("show", 10**30).exception, NotFound)
    missing = run("reload", clean.id, loading.folder / "none.csv")
    assert isinstance(missing.exception, FileError)
