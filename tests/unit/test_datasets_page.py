"""docs/datasets.md: its options, its examples and what it says of cells are the code's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import yaml

from jobu_core.config import DatasetSettings
from jobu_core.config.datasets import CsvOptions
from jobu_core.handlers.base import TRANSFORM_MARK
from jobu_core.pipeline import moment_formats
from jobu_core.pipeline.spelling import Spelling
from jobu_core.pipeline.transform import Transform, Transforming

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", [CsvOptions, DatasetSettings])
def test_every_key_is_on_the_page(model: type[CsvOptions | DatasetSettings]) -> None:
    """A key that nobody can find is not there."""
    assert [name for name in model.model_fields if f"`{name}`" not in PAGE] == []


def test_the_example_is_a_dataset() -> None:
    """As it stands."""
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (entry,) = yaml.safe_load(text)["datasets"].values()
    spelling = Spelling.of(DatasetSettings.model_validate(entry).csv)
    cells = pa.array(
        ["1.234,50", "1234,50", "1.234", "12.34", "1234.5", "1,234.50", "NaN", "1_000"]
    )
    assert spelling.respelled(cells, "number").to_pylist() == [
        *("1234.50", "1234.50", "1234", "12,34", "1234,5", "1,234,50", "NaN", "1_000"),
    ]


def test_the_directives_are_those_that_are_known() -> None:
    """No more and no less."""
    (known,) = re.findall(r"Known are `([^`]*)`", PAGE)
    assert {each[1] for each in known.split()} == moment_formats.KNOWN


def test_the_transform_of_the_page_does_what_it_says() -> None:
    """It leaves test rows out and trims names."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, Any] = {"__name__": "page", "pd": pd}
    exec(compile(code, "datasets.md", "exec"), found)  # noqa: S102 - our own page
    function = found["clean_names"]
    assert getattr(function, TRANSFORM_MARK) == "clean_names"
    rows = pa.RecordBatch.from_pydict({"__jobu_row": [1, 2, 3], "name": [" a ", "TEST", None]})
    made = Transforming(Transform("clean_names", function), show_values=False).apply(rows, "in.csv")
    assert made.to_pydict() == {"__jobu_row": [1, 3], "name": ["a", None]}
