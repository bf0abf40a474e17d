"""What becomes of columns that only the file or only the model has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel, ConfigDict, Field

from jobu_core.errors import FileError
from jobu_core.pipeline.validate.report import ValidationOptions
from jobu_core.pipeline.validate.rows import validate_file

if TYPE_CHECKING:
    from pathlib import Path


class Plain(BaseModel):
    """Takes no notice of other columns."""

    id: int
    note: str | None
    kind: str = "usual"


class Closed(Plain):
    """Forbids other columns."""

    model_config = ConfigDict(extra="forbid")


class Aliased(BaseModel):
    """Looks for another name."""

    id: int
    note: int | None = Field(alias="the note")


def rows_of(tmp_path: Path, model: type[BaseModel], text: str, **options: Any) -> list[Any]:  # noqa: ANN401 - of ValidationOptions
    """Validate a CSV; return the valid rows."""
    source, output = tmp_path / "in.csv", tmp_path / "out.parquet"
    source.write_text(text, "utf-8")
    validate_file(
        source,
        model=model,
        output_path=output,
        source_name="in.csv",
        options=ValidationOptions(**options),
    )
    table = pq.read_table(output)
    return table.select(table.column_names[1:]).to_pylist()


@pytest.mark.parametrize("model", [Plain, Closed])
def test_ignored_columns_do_not_reach_the_model(tmp_path: Path, model: type[BaseModel]) -> None:
    """Not even one that forbids others."""
    found = rows_of(tmp_path, model, "more,id,note\nx,1,a\n", on_new_column="ignore")
    assert found == [{"id": 1, "note": "a", "kind": "usual"}]


@pytest.mark.parametrize("policy", ["fail", "add"])
def test_new_columns_refuse_the_file(tmp_path: Path, policy: str) -> None:
    """With what else is wrong with the header, whatever the model says of others."""
    with pytest.raises(FileError, match=r"no column 'id'.*'more' is not of the model"):
        rows_of(tmp_path, Plain, "more,note\nx,a\n", on_new_column=policy)


def test_unset_the_model_decides(tmp_path: Path) -> None:
    """Pydantic's own ``extra``."""
    text = "id,note,more\n1,a,x\n"
    assert rows_of(tmp_path, Plain, text) == [{"id": 1, "note": "a", "kind": "usual"}]
    with pytest.raises(FileError, match="'more' is not of the model"):
        rows_of(tmp_path, Closed, text)


def test_a_missing_column_that_takes_none_is_null(tmp_path: Path) -> None:
    """A default comes before; one that takes no None is missing still."""
    with pytest.raises(FileError, match="no column 'note'"):
        rows_of(tmp_path, Plain, "id\n1\n")
    found = rows_of(tmp_path, Plain, "id\n1\n2\n", on_missing_column="null")
    assert found == [{"id": at, "note": None, "kind": "usual"} for at in (1, 2)]
    with pytest.raises(FileError, match="no column 'id'"):
        rows_of(tmp_path, Plain, "note\nx\n", on_missing_column="null")


def test_the_column_is_added_under_the_name_that_is_looked_for(tmp_path: Path) -> None:
    """An alias, where the field has one."""
    found = rows_of(tmp_path, Aliased, "id\n1\n", on_missing_column="null")
    assert found == [{"id": 1, "note": None}]


def test_parquet_is_treated_alike(tmp_path: Path) -> None:
    """Typed columns, too."""
    source, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"id": [1], "more": [1.5]}), source)
    validate_file(
        source,
        model=Closed,
        output_path=output,
        source_name="in.parquet",
        options=ValidationOptions(on_new_column="ignore", on_missing_column="null"),
    )
    assert pq.read_table(output).column("note").to_pylist() == [None]
