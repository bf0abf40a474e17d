"""Each suite of the bench on a few rows, as the command runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from bench import data, extras
from bench.results import PeersDisagree
from bench.server import own_postgres
from jobu_admin.cli import build_app

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {
    *("name", "value", "unit", "peer", "peer_value", "ratio"),
    *("limit", "limit_value", "conditions", "met"),
}


def measure(suite: str, folder: Path, *options: str) -> tuple[dict[str, dict[str, object]], str]:
    """Run ``jobu bench`` on a few rows; return its results by name, and what it printed."""
    told = folder / "told.json"
    command = ["bench", suite, "--json", str(told), "--rows", "400", "--runs", "1", *options]
    ran = CliRunner().invoke(build_app(), command, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    results = json.loads(told.read_text())["results"]
    assert all(set(each) == KEYS for each in results)
    return {each["name"]: each for each in results}, ran.output


def test_validation_is_measured_and_both_reject_the_same(tmp_path: Path) -> None:
    """The command's suite of validation: two results with the targets of the issue."""
    results, printed = measure("validate", tmp_path)
    assert {name: each["limit_value"] for name, each in results.items()} == {
        "validate.clean": 10.0,
        "validate.bad5": 5.0,
    }
    bad = results["validate.bad5"]
    assert isinstance(bad["conditions"], dict)
    assert bad["conditions"]["rejected"] == 20
    assert "pydantic" in printed


def test_preprocessing_says_what_to_install_for_a_missing_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that is not installed is skipped aloud; the others are measured."""
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "duckdb" else object())
    results, printed = measure("preprocess", tmp_path)
    assert {"preprocess.narrow", "preprocess.wide", "preprocess.narrow.polars"} <= set(results)
    assert "preprocess.narrow.duckdb" not in results
    assert "preprocess.narrow.duckdb: skipped: duckdb is not installed" in printed
    assert "'.[bench]'" in printed


def test_the_pipeline_is_measured_on_a_server_of_its_own(tmp_path: Path) -> None:
    """Both ways land every row; the server needs nothing that runs and leaves nothing."""
    results, _ = measure("pipeline", tmp_path)
    assert results["pipeline.ops"]["limit_value"] == 0.4


def test_loads_are_measured_against_a_raw_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All four loads, and pandas beside them."""
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)
    results, _ = measure("load", tmp_path)
    assert {
        *("load.append", "load.pk", "load.replace", "load.wide"),
        *("load.append.pandas_copy", "load.append.to_sql"),
    } == set(results)


def test_a_load_that_lost_rows_is_no_figure(tmp_path: Path) -> None:
    """A fast load of too few rows is an error, not a record."""
    source = data.write_csv(tmp_path / "narrow.csv", data.narrow_text, 10)
    with own_postgres() as database:
        database.fresh(data.table_ddl("target", data.Narrow))
        database.copy_csv(source)
        database.expect(10)
        with pytest.raises(PeersDisagree, match="10 rows, not 11"):
            database.expect(11)


@pytest.mark.long
def test_memory_is_that_of_a_process_of_its_own(tmp_path: Path) -> None:
    """The figure holds what a worker has imported, and the pipeline on top of it."""
    results, _ = measure("memory", tmp_path, "--size", "1MB")
    found = results["memory.pipeline"]
    assert isinstance(found["conditions"], dict)
    assert found["conditions"]["imports_mb"] < found["value"]
