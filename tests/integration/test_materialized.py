"""What the handlers tell of assets when there was little to do: reused, or loaded before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.handlers.base import ColumnSource

if TYPE_CHECKING:
    from tests.handler_bench import Project

PARQUET = "/data/out/sample.parquet"


def test_a_stage_that_is_reused_tells_what_it_told_when_it_was_made(data_project: Project) -> None:
    """The same counts, columns, bytes and seconds, and that it was reused."""
    params = {"dataset": "sample"}
    for attempt in (1, 2):
        data_project.stage("preprocess", params, {}, attempt=attempt)
    first, second = data_project.emitted
    assert second.metadata["reused"] is True
    assert "reused" not in first.metadata
    kept = {name: first.metadata[name] for name in first.metadata if name != "attempt"}
    assert {name: second.metadata.get(name) for name in kept} == kept
    assert (second.columns, second.sources) == (first.columns, first.sources)
    assert second.metadata["bytes_in"] > 0
    assert second.metadata["seconds"] >= 0


def test_a_load_that_was_done_before_tells_the_counts_of_the_manifest(
    data_project: Project,
) -> None:
    """Rows, rejects and lineage are there, though this attempt loaded nothing."""
    data_project.write("raw/mixed.csv", "id,name,value\n1,a,1\nx,b,2\n")
    params = {"dataset": "sample", "input_path": "/data/raw/mixed.csv"}
    for attempt in (1, 2):
        data_project.run("pipeline", params, attempt=attempt)
    first, second = (made for made in data_project.emitted if made.asset[-1] == "sample")
    assert (first.metadata["outcome"], second.metadata["outcome"]) == ("loaded", "already_loaded")
    for name in ("dagster/row_count", "rejected", "load_id", "dagster/table_name"):
        assert second.metadata[name] == first.metadata[name]
    assert second.sources == first.sources
    assert second.sources["id"] == ColumnSource(("sample", "valid"), "id")


def test_without_a_dataset_no_asset_is_named_as_a_source(data_project: Project) -> None:
    """Nobody knows what was there before; the costs are told all the same."""
    result = data_project.run(
        "pandas_preprocess", {"input_path": "/data/raw/sample.csv", "output_path": PARQUET}
    )
    result |= data_project.run("pydantic_validator", {"input_path": PARQUET})
    assert [made.sources for made in data_project.emitted] == [{}, {}]
    assert [made.preview for made in data_project.emitted] == [None, None]
    assert data_project.emitted[0].metadata["dagster/uri"] == f"file://{PARQUET}"
    assert {"seconds", "bytes_in", "bytes_out"} <= result.keys()


def test_records_of_a_message_have_no_size(data_project: Project) -> None:
    """bytes_in is unknown, not nothing."""
    told = data_project.run("pydantic_validator", {"data": [{"id": 1, "name": "a", "value": 1}]})
    assert told["bytes_in"] is None
    assert told["bytes_out"] > 0
