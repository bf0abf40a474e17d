"""Transforms by name: from the project's module through dataset, params, trial and reload."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from jobu_core.config import DatasetSettings, HandlersSettings
from jobu_core.errors import ConfigError, Conflict, InvalidParams, TransformFailed
from jobu_core.handlers.registry import load_registry
from jobu_core.handlers.trial import Place, try_dataset
from jobu_core.models import Status
from tests.reload_bench import Reloading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobu_core.handlers.registry import Registry
    from tests.fix_aftermath import Aftermath
    from tests.handler_bench import Project

MODULE = '''
"""A user's transforms."""
import pandas as pd

from jobu_core.handlers import transform


@transform("trimmed")
def trimmed(frame):
    """Names without blanks around them."""
    return frame.assign(name=frame["name"].str.strip())


@transform("doubled")
def doubled(frame):
    return pd.concat([frame, frame])


@transform("broken")
def broken(frame):
    raise KeyError(frame["name"].iloc[0])
'''
DATASET = {
    "input": "/data/raw/in.csv",
    "model": "SampleRecord",
    "target": "default.public.sample",
    "mode": "append",
}
OUT = "/data/out.parquet"


def settings(**values: object) -> DatasetSettings:
    """Return the dataset with these values."""
    return DatasetSettings.model_validate(DATASET | values)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HandlersSettings]:
    """Write the module and name it, as handlers.yaml does."""
    (tmp_path / "washing.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield HandlersSettings(modules=("washing",))
    sys.modules.pop("washing", None)


def registry(module: HandlersSettings, **values: object) -> Registry:
    """Return a registry with the module and a dataset of these values."""
    return load_registry(module, {"sample": settings(**values)})


def write(project: Project) -> None:
    """Write the file of the dataset."""
    project.write("raw/in.csv", "id,name,value\n1, a ,1\n2,b,2\n")


def test_a_dataset_names_a_transform(data_project: Project, module: HandlersSettings) -> None:
    """And what became of the rows says which it was."""
    project = replace(data_project, registry=registry(module, transform="trimmed"))
    write(project)
    told = project.run("pandas_preprocess", {"dataset": "sample", "output_path": OUT})
    assert told["transform"] == {"name": "trimmed", "scope": "chunk", "repeats": False}
    written = pq.read_table(project.root / "data" / "out.parquet")
    assert written["name"].to_pylist() == ["a", "b"]


def test_params_win_over_the_dataset(data_project: Project, module: HandlersSettings) -> None:
    """The name, or the scope alone."""
    project = replace(data_project, registry=registry(module, transform="trimmed"))
    write(project)
    params: dict[str, Any] = {"dataset": "sample", "output_path": OUT}
    told = project.run("pandas_preprocess", params | {"transform_scope": "file"})
    assert told["transform"] == {"name": "trimmed", "scope": "file", "repeats": False}
    told = project.run("pandas_preprocess", params | {"transform": "doubled"})
    assert (told["rows"], told["rows_in"], told["transform"]["repeats"]) == (4, 2, True)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"transform": "trimed"}, "no transform named 'trimed' is registered .did you mean 'trim"),
        ({"transform_scope": "file"}, "there is no transform that it could be the scope of"),
        ({"transform": "trimmed", "transform_scope": "row"}, "transform_scope: Input should be"),
        ({"csv": {"thousands": "."}}, "csv.decimal and csv.thousands are the same"),
        ({"csv": {"timestamp_formats": ["%Q"]}}, "%Q is not known here"),
        ({"csv": {"compression": "xz"}}, "csv.compression: Input should be 'auto', 'none'"),
    ],
)
def test_what_could_never_work_is_refused_before_it_runs(
    module: HandlersSettings, params: dict[str, object], told: str
) -> None:
    """When the message is dispatched, or the cron job saved."""
    with pytest.raises(InvalidParams, match=told):
        registry(module).validate(
            "pandas_preprocess", {"dataset": "sample", "output_path": OUT, **params}
        )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"transform": "trimed"}, r"datasets\.sample\.transform: no transform named 'trimed'"),
        ({"csv": {"thousands": "."}}, r"datasets\.sample\.csv\.decimal and"),
    ],
)
def test_a_dataset_that_could_never_work_is_refused(
    module: HandlersSettings, values: dict[str, object], told: str
) -> None:
    """When the configuration is read."""
    with pytest.raises(ConfigError, match=told):
        registry(module, **values)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("@transform('x')\nclass X:\n    pass\n", "'x': washing.X must be a function"),
        ("@transform('x')\ndef x(a, b):\n    pass\n", "'x': washing.x must take one DataFrame"),
        (
            "@transform('x')\ndef x(a):\n    pass\n@transform('x')\ndef y(a):\n    pass\n",
            "two transforms are named 'x'",
        ),
    ],
)
def test_what_is_no_transform_is_refused_when_it_is_registered(
    tmp_path: Path, module: HandlersSettings, source: str, told: str
) -> None:
    """With the place where it is defined."""
    text = f"from jobu_core.handlers import transform\n{source}"
    (tmp_path / "washing.py").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        load_registry(module, {})


def test_a_trial_runs_the_transform(
    data_project: Project, module: HandlersSettings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It tells what a run would do, and fails where a run would."""
    project = replace(data_project, registry=registry(module, transform="doubled"))
    write(project)
    place = Place(
        project.context().paths, {"default": project.bench.url}, tmp_path_factory.mktemp("trial")
    )
    dataset = project.registry.datasets["sample"]
    trial = try_dataset(dataset, "/data/raw/in.csv", place, most_rejects=5)
    assert (trial.rows, trial.wanted, trial.valid) == (2, 4, 4)
    broken = registry(module, transform="broken").datasets["sample"]
    place = replace(place, folder=tmp_path_factory.mktemp("trial"))
    with pytest.raises(TransformFailed, match=r"transform broken: KeyError at washing\.py line 21"):
        try_dataset(broken, "/data/raw/in.csv", place, most_rejects=5)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"transform": "trimmed"}, None),
        ({"transform": "doubled"}, "transform doubled makes several rows of one"),
        ({"transform": "trimmed", "transform_scope": "file"}, "looks at a file as a whole"),
    ],
)
def test_rejects_are_reloaded_where_each_row_is_its_own(
    aftermath: Aftermath, module: HandlersSettings, values: dict[str, object], told: str | None
) -> None:
    """Otherwise a corrected row would bring rows along that are loaded already."""
    aftermath.runtime = replace(aftermath.runtime, registry=registry(module))
    loading = Reloading(aftermath)
    first = loading.load("id,name,value\n1,a,1\nx, b ,2\n", **values)
    assert first.status is Status.SUCCESS, first.error_message
    if told is not None:
        with pytest.raises(Conflict, match=told):
            loading.export(first)
        return
    loading.reload(first, loading.export(first).replace('"x"', '"2"'))
    loading.system.settle()
    assert loading.table == [(1, "a", 1), (2, "b", 2)]


def test_a_corrected_dataset_or_transform_is_not_answered_with_what_was_made_before(
    data_project: Project, module: HandlersSettings, tmp_path: Path
) -> None:
    """A retry finds the stage of the same code only."""
    project = replace(data_project, registry=registry(module, transform="trimmed"))
    write(project)
    params = {"dataset": "sample"}

    def attempt(number: int, found: Registry) -> Any:  # noqa: ANN401 - a stage's result
        again = replace(project, registry=found)
        return again.stage("preprocess", params, {}, attempt=number)["preprocess"]

    assert "reused" not in attempt(1, project.registry)
    assert attempt(2, project.registry)["reused"]
    assert "reused" not in attempt(3, registry(module, transform="doubled"))
    (tmp_path / "washing.py").write_text(MODULE.replace("strip()", "upper()"), encoding="utf-8")
    sys.modules.pop("washing")
    corrected = attempt(4, registry(module, transform="trimmed"))
    assert "reused" not in corrected
    assert pq.read_table(corrected["file"])["name"].to_pylist() == [" A ", "B"]
