"""What a run of the pipeline leaves in Dagster's event log, read back as its pages read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import pytest

import jobu_dagster.process
from jobu_core.store.engine import transaction
from jobu_core.store.executions import list_executions
from jobu_dagster.private import open_instance
from jobu_dagster.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jobu_core.models import Execution

GOOD: Final = "".join(f"{number},n <{number}>|,1.5\n" for number in range(1, 100))
FILE: Final = f"ID,name,value\n{GOOD}x,secret,1\n"
DATASET: Final = """
datasets:
  orders:
    input: /data/raw/orders.csv
    model: SampleRecord
    target: default.public.orders
    rename: {ID: id}
"""


class Lake:
    """A project with one dataset whose header is renamed and whose last row is bad."""

    def __init__(self, root: Path, process: Process) -> None:
        """Write file and configuration, and open Dagster."""
        (root / "config" / "datasets.yaml").write_text(DATASET)
        (root / "data" / "raw" / "orders.csv").write_text(FILE)
        self.process = process
        self.instance = open_instance(root)

    def run(self, **params: Any) -> Execution:  # noqa: ANN401 - params of the pipeline
        """Run the pipeline to its end and return its execution."""
        from jobu_dagster.definitions import build_definitions  # noqa: PLC0415 - reads the project

        runtime = self.process.runtime()
        job = build_definitions(runtime.registry).resolve_job_def("pipeline")
        config = {"params": {"dataset": "orders", **params}}
        result = job.execute_in_process(
            run_config={"resources": {"launch": {"config": config}}}, instance=self.instance
        )
        assert result.success
        with transaction(runtime.engine) as connection:
            newest, *_ = list_executions(connection)
        return newest

    def facts(self, *key: str) -> Mapping[str, Any]:
        """Return the newest metadata of an asset, by name."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(list(key)))
        assert event is not None
        made = event.asset_materialization
        assert made is not None
        return {name: each.value for name, each in made.metadata.items()}

    @property
    def all_facts(self) -> list[Mapping[str, Any]]:
        """What is known of the three assets, in order of the data's way."""
        return [
            self.facts("orders", "parquet"),
            self.facts("orders", "valid"),
            self.facts("default", "public", "orders"),
        ]


@pytest.fixture
def lake(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """Return the project."""
    own = Process()
    monkeypatch.setattr(jobu_dagster.process, "_current", own)
    yield Lake(project, own)
    own.close()


def test_each_asset_says_rows_rejects_bytes_and_seconds(lake: Lake) -> None:
    """In the event log, and the same figures in the execution's result."""
    row = lake.run(output_path="/data/kept/orders.parquet")
    parquet, valid, table = lake.all_facts
    assert (parquet["dagster/row_count"], parquet["rejected"]) == (100, 0)
    assert (valid["dagster/row_count"], valid["rejected"], valid["rows_in"]) == (99, 1, 100)
    assert (table["dagster/row_count"], table["rejected"], table["outcome"]) == (99, 1, "loaded")
    assert table["dagster/table_name"] == "default.public.orders"
    assert parquet["dagster/uri"] == "file:///data/kept/orders.parquet"
    assert "dagster/uri" not in valid
    assert parquet["bytes_in"] == len(FILE)
    assert valid["bytes_in"] == parquet["bytes_out"] > 0
    assert table["bytes_in"] == valid["bytes_out"] > 0
    for stage, facts in zip(("preprocess", "validate", "load"), lake.all_facts, strict=True):
        assert row.result is not None
        assert row.result[stage]["seconds"] == facts["seconds"] >= 0
        assert row.result[stage]["bytes_in"] == facts["bytes_in"]
        assert facts["execution_id"] == row.id


def test_each_asset_says_its_columns_and_where_they_came_from(lake: Lake) -> None:
    """By the new name, from the old one: the way back to the user's header."""
    lake.run()
    parquet, valid, table = lake.all_facts
    assert [(each.name, each.type) for each in valid["dagster/column_schema"].columns] == [
        ("id", "int"),
        ("name", "str"),
        ("value", "float"),
    ]
    assert [each.type for each in table["dagster/column_schema"].columns] == [
        "bigint",
        "text",
        "double precision",
    ]
    ways = [facts["dagster/column_lineage"].deps_by_column for facts in (table, valid, parquet)]
    column, way = "id", []
    for deps in ways:
        assert set(deps) == {"id", "name", "value"}
        (source,) = deps[column]
        column = source.column_name
        way.append((source.asset_key.to_user_string(), column))
    assert way == [("orders/valid", "id"), ("orders/parquet", "id"), ("orders/file", "ID")]


def test_rows_are_shown_only_where_values_may_be(lake: Lake) -> None:
    """The preview holds cells, as text; without leave there is none, and no cell anywhere."""
    lake.run(show_values=True)
    for facts in lake.all_facts:
        lines = facts["preview"].splitlines()
        assert lines[0] == "| id | name | value |"
        assert lines[2] == r"| 1 | n &lt;1&gt;\| | 1.5 |"
        assert len(lines) == 7
    lake.run()
    for facts in lake.all_facts:
        assert "preview" not in facts
        assert "n <1>" not in str(facts)
        assert "secret" not in str(facts)
