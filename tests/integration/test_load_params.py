"""What params and datasets say about a load, from the message to the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.config import DatasetSettings
from jobu_core.errors import ConfigError, FileError, InvalidParams
from jobu_core.pipeline.datasets import build_datasets
from tests.handler_bench import Project, make_project
from tests.load_bench import items

if TYPE_CHECKING:
    from tests.load_bench import Bench

RAW = "/data/raw/sample.csv"
PARQUET = "/data/processed/sample.parquet"
KEYED = DatasetSettings(
    input=RAW, model="SampleRecord", target="default.public.keyed", mode="upsert", keys=("id",)
)


@pytest.fixture
def keyed_project(bench: Bench) -> Project:
    """Return a project with a dataset that upserts."""
    return make_project(bench, keyed=KEYED)


def test_a_dataset_upserts_by_its_keys(keyed_project: Project) -> None:
    """The result tells what was inserted and what updated."""
    assert keyed_project.run("pipeline", {"dataset": "keyed"})["load"]["strategy"] == "create"
    keyed_project.write("raw/sample.csv", "id,name,value\n1,new,1\n777,more,2\n1,newer,3\n")
    told = keyed_project.run("pipeline", {"dataset": "keyed"}, execution_id=2)["load"]
    assert (told["mode"], told["rows"], told["inserted"], told["updated"]) == ("upsert", 2, 1, 1)
    assert keyed_project.bench.value("SELECT name FROM keyed WHERE id = 1") == "newer"
    assert keyed_project.emitted[-1].metadata["inserted"] == 1


def test_params_win_over_the_datasets_mode_and_keys(keyed_project: Project) -> None:
    """Another mode does without the keys; other keys need an index of their own."""
    keyed_project.run("pipeline", {"dataset": "keyed"})
    told = keyed_project.run("pipeline", {"dataset": "keyed", "mode": "replace"}, execution_id=2)[
        "load"
    ]
    assert (told["mode"], told["rows"]) == ("replace", 100)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dataset": "sample", "mode": "upsert"}, "keys: mode upsert needs the columns"),
        ({"dataset": "sample", "keys": ["id"]}, "keys: only mode upsert"),
        ({"dataset": "keyed", "keys": ["id", "id"]}, "keys: each column once"),
        ({"dataset": "keyed", "keys": []}, "keys"),
        ({"dataset": "keyed", "mode": "upsert", "truncate_before": True}, "truncate_before"),
    ],
)
def test_loads_that_could_never_work_are_refused_at_dispatch(
    keyed_project: Project, params: dict[str, object], message: str
) -> None:
    """Before a run is launched, by pipeline and db_loader alike."""
    for handler in ("pipeline", "db_loader"):
        given = params | ({"input_path": PARQUET} if handler == "db_loader" else {})
        with pytest.raises(InvalidParams, match=message):
            keyed_project.registry.validate(handler, given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "upsert", "keys": ()}, "need each other"),
        ({"mode": "append", "keys": ("id",)}, "need each other"),
        ({"mode": "upsert", "keys": ("id", "id")}, "each column once"),
    ],
)
def test_a_dataset_with_keys_that_do_not_fit_its_mode_is_refused(
    changes: dict[str, object], message: str
) -> None:
    """When the configuration is read."""
    with pytest.raises(ValueError, match=message):
        DatasetSettings.model_validate(KEYED.model_dump() | changes)


def test_keys_that_the_model_has_not_are_refused(keyed_project: Project) -> None:
    """With the dataset's name and a suggestion."""
    settings = KEYED.model_copy(update={"keys": ("ids",)})
    with pytest.raises(ConfigError, match=r"datasets\.keyed\.keys: .*'ids'.*did you mean 'id'"):
        build_datasets({"keyed": settings}, keyed_project.registry.models)


def test_the_schema_contract_goes_from_the_dataset_to_model_and_table(bench: Bench) -> None:
    """What params say wins; the result names the columns."""
    lenient = KEYED.model_copy(update={"on_new_column": "ignore", "mode": "append", "keys": ()})
    project = make_project(bench, lenient=lenient)
    project.write("raw/sample.csv", "id,name,value,colour\n1,a,1,red\n")
    bench.run("CREATE TABLE keyed (id bigint, name text, remark text)")
    params = {"dataset": "lenient", "on_missing_column": "null"}
    told = project.run("pipeline", params)["load"]
    assert (told["ignored_columns"], told["missing_columns"]) == (["value"], ["remark"])
    with pytest.raises(FileError, match="'colour' is not of the model"):
        project.run("pipeline", params | {"on_new_column": "fail"}, execution_id=2)
    bench.file(items(2), "data/rows.parquet")
    adding = params | {"input_path": "/data/rows.parquet", "on_new_column": "add"}
    told = project.run("db_loader", adding, execution_id=3)
    assert told["added_columns"] == ["value"]
