"""What params and datasets say about a load, from the message to the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from jobu_core.config import DatasetSettings
from jobu_core.config.datasets import CsvOptions
from jobu_core.errors import ConfigError, FileError, InvalidParams
from jobu_core.handlers.base import Declarations
from jobu_core.handlers.load_content import content_of
from jobu_core.handlers.pipeline import PipelineParams
from jobu_core.handlers.pydantic_validator import SampleRecord
from jobu_core.pipeline.datasets import build_datasets
from jobu_core.pipeline.load.engine import load_parquet
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
        ({"dataset": "keyed", "load_key": "content"}, "content is for mode append only.*upsert"),
        ({"dataset": "sample", "load_key": "content"}, "content is for mode append only.*replace"),
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


CONTENT = {"target_table": "scratch_rows", "create": True, "load_key": "content"}


def test_the_same_content_is_appended_once_whatever_its_name(data_project: Project) -> None:
    """The result names the execution that loaded it; rejected rows may be more or fewer."""
    params = CONTENT | {"input_path": RAW}
    first = data_project.run("pipeline", params, execution_id=7)["load"]
    text = (data_project.root / "data/raw/sample.csv").read_text("utf-8")
    data_project.write("raw/again.csv", text)
    renamed = params | {"input_path": "/data/raw/again.csv", "max_errors": 5}
    told = data_project.run("pipeline", renamed, execution_id=8)
    assert (told["reason"], told["rows"]) == ("already_loaded", 100)
    again = told["load"]
    assert (again["outcome"], again["loaded_by_execution"]) == ("already_loaded", 7)
    assert (again["load_id"], again["load_key"]) == (first["load_id"], first["load_key"])
    assert data_project.bench.count("scratch_rows") == 100
    assert data_project.emitted[-1].metadata["loaded_by_execution"] == 7


@pytest.mark.parametrize(
    "change",
    [
        {"filters": {"id": {"lte": 10}}},
        {"coercion": "strict"},
        {"null_means": "null"},
        {"csv": {"null_values": ["NA"]}},
        {"on_new_column": "ignore"},
        {"target_table": "scratch_others"},
        {"model": "Other"},
        {"transform": "tidy"},
        {"transform": "tidy", "transform_scope": "file"},
    ],
)
def test_whatever_may_change_a_row_makes_other_content(
    data_project: Project, change: dict[str, object]
) -> None:
    """So that no row is skipped for another's sake."""

    class Other(BaseModel):
        id: str
        name: str
        value: str

    declared = Declarations(
        data_project.registry.datasets,
        {**data_project.registry.models, "Other": Other},
        ("*.*.*",),
    )
    params = CONTENT | {"input_path": RAW}
    one, other = (
        content_of(PipelineParams.model_validate(each), declared, "abc")
        for each in (params, params | change)
    )
    assert one != other


def test_what_the_dataset_says_is_part_of_the_content(bench: Bench) -> None:
    """By what it says, not by its name."""
    plain = KEYED.model_copy(update={"mode": "append", "keys": ()})
    filtered = plain.model_copy(update={"filters": {"id": {"lte": 5}}})
    project = make_project(bench, plain=plain, same=plain, filtered=filtered)
    rows = [
        project.run("pipeline", {"dataset": name, "load_key": "content"}, execution_id=at)["load"]
        for at, name in enumerate(("plain", "same", "filtered"), start=1)
    ]
    assert [each["outcome"] for each in rows] == ["loaded", "already_loaded", "loaded"]
    assert bench.count("keyed") == 105


def test_two_parquets_of_one_csv_are_two_contents(data_project: Project) -> None:
    """db_loader does not know what was left out of them."""
    for at, filters in enumerate(({}, {"id": {"lte": 10}}, {}), start=1):
        made = {"input_path": RAW, "output_path": PARQUET, "filters": filters}
        data_project.run("pandas_preprocess", made)
        data_project.run("db_loader", CONTENT | {"input_path": PARQUET}, execution_id=at)
    assert data_project.bench.count("scratch_rows") == 110


def test_a_fused_run_knows_the_content_of_three_stages(data_project: Project) -> None:
    """It reads the file once more for it, and neither run loads what the other has."""
    params = CONTENT | {"input_path": RAW}
    data_project.run("pipeline", params, execution_id=1)
    told = data_project.run("pipeline", params | {"fused": True}, execution_id=2)
    assert told["reason"] == "already_loaded"
    fused = {**params, "fused": True, "filters": {"id": {"lte": 10}}}
    assert data_project.run("pipeline", fused, execution_id=3)["load"]["outcome"] == "loaded"
    again = data_project.run("pipeline", fused | {"fused": False}, execution_id=4)
    assert again["load"]["loaded_by_execution"] == 3


def test_a_file_that_changes_between_its_two_readings_loads_nothing(bench: Bench) -> None:
    """The key would stand for other rows; so for each way of loading."""
    asked = bench.request(items(3), content="c1", content_sha256="of other bytes", create=True)
    with pytest.raises(FileError, match="between its two readings"):
        load_parquet(asked)
    assert bench.value("SELECT to_regclass('items') IS NULL")
    assert bench.count("jobu_loads") == 0


def test_null_is_a_policy_also_without_quotes() -> None:
    """YAML reads it as nothing at all, which nobody means who writes it there."""
    text = KEYED.model_dump() | {"on_missing_column": None}
    assert DatasetSettings.model_validate(text).on_missing_column == "null"


def test_every_setting_of_a_dataset_that_may_change_a_row_counts() -> None:
    """One that is new counts until somebody says that it changes none."""
    plain = KEYED.model_copy(update={"mode": "append", "keys": ()})
    params = PipelineParams(dataset="it", load_key="content")

    def content(**changes: object) -> str:
        datasets = build_datasets(
            {"it": plain.model_copy(update=changes)}, {"SampleRecord": SampleRecord}
        )
        return content_of(params, Declarations(datasets, {"SampleRecord": SampleRecord}), "abc")

    changing: tuple[dict[str, object], ...] = (
        {"csv": CsvOptions(delimiter=";")},
        {"rename": {"a": "b"}},
        {"filters": {"id": {"gt": 1}}},
        {"on_missing_column": "null"},
        {"target": "default.public.other"},
    )
    for change in changing:
        assert content(**change) != content(), change
    others: tuple[dict[str, object], ...] = (
        {"owners": ("ann",)},
        {"max_errors": 3},
        {"input": "/data/raw/x.csv"},
    )
    for change in others:
        assert content(**change) == content(), change
