"""Inference: what a file seems to hold, and a model that says so."""

from __future__ import annotations

import importlib.util
import keyword
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from jobu_core.errors import FileError, InvalidParams
from jobu_core.pipeline.infer.dialect import sniff_dialect
from jobu_core.pipeline.infer.draft import dataset_entry, model_source, sample_event
from jobu_core.pipeline.infer.inference import Inference, infer
from jobu_core.pipeline.infer.names import dataset_name, field_names, model_name
from jobu_core.pipeline.load.identifiers import parse_table
from jobu_core.pipeline.model_columns import columns_of_model

if TYPE_CHECKING:
    from pathlib import Path


def inferred(folder: Path, data: str | bytes, **options: Any) -> Inference:  # noqa: ANN401 - of infer
    """Write a file and infer what it holds."""
    path = folder / "file.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    found = sniff_dialect(path, name="file.csv")
    return infer(path, source_name="file.csv", csv=found, **options)


def kinds(found: Inference) -> dict[str, str]:
    """Return field → annotation as written."""
    return {
        each.name: each.kind.source + (" | None" if each.nullable else "") for each in found.fields
    }


def column(folder: Path, *cells: str) -> str:
    """Return the annotation of a column with these cells."""
    return kinds(inferred(folder, "\n".join(["a,b", *(f"{cell},x" for cell in cells), ""])))["a"]


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (("1", "-20", "+3", "999999999999999999"), "int"),
        (
            ("1", "12345678901234567890"),
            "Annotated[Decimal, Field(max_digits=20, decimal_places=0)]",
        ),
        (("007", "010"), "str"),
        (("0x1F", "2"), "str"),
        (("1_000", "2"), "str"),
        (("1.50", "2", "-0.5"), "Annotated[Decimal, Field(max_digits=18, decimal_places=2)]"),
        (("0.1234567", "2"), "float"),
        (("1e5", "2.5"), "float"),
        (("nan", "2.5e0"), "float | None"),
        (("true", "FALSE"), "bool"),
        (("yes", "no"), "str"),
        (("2026-01-31", "2026-02-01"), "dt.date"),
        (("2026-1-31", "2026-02-01"), "str"),
        (("20260131", "20260201"), "int"),
        (("2026-01-31T10:00:00", "2026-02-01 10:00"), "NaiveDatetime"),
        (("2026-01-31T10:00:00Z", "2026-02-01T10:00:00.5+09:00"), "AwareDatetime"),
        (("2026-01-31T10:00:00Z", "2026-02-01T10:00:00"), "str"),
        (("10:00", "23:59:59.5"), "dt.time"),
        (("0b4c8a3e-6f0d-4f0e-9a53-0a3d5f2f9d11",), "UUID"),
        (("", "5"), "int | None"),
        (("", ""), "str | None"),
        (("NA", "5"), "int | None"),
        (("NA", "five"), "str"),
        (('""', "5"), "str"),
    ],
)
def test_a_column_gets_the_narrowest_type_that_all_cells_have(
    tmp_path: Path, cells: tuple[str, ...], wanted: str
) -> None:
    """Leading zeros, other spellings and mixtures are text; nothing is lost by a type."""
    assert column(tmp_path, *cells) == wanted


def test_few_misfits_among_many_cells_do_not_make_a_column_text(tmp_path: Path) -> None:
    """One typo in a hundred becomes a reject that a person is told of."""
    found = inferred(tmp_path, "a\n" + "1\n" * 99 + "x\n")
    assert kinds(found) == {"a": "int"}
    assert (found.fields[0].misfits, found.refused) == (1, 1)
    assert "1 cells are not a whole number: rejects" in model_source("t", found)
    half = inferred(tmp_path, "a\n" + "1\n" * 9 + "x\n")
    assert kinds(half) == {"a": "str"}


def test_a_date_that_does_not_exist_is_counted_as_refused(tmp_path: Path) -> None:
    """The model is held against the rows; a pattern alone would not know."""
    found = inferred(tmp_path, "d\n2026-02-28\n2026-02-30\n")
    assert (kinds(found)["d"], found.refused) == ("dt.date", 1)


def test_a_spelling_of_null_that_a_text_needs_stays_text(tmp_path: Path) -> None:
    """null_values hold for the whole file: Namibia must not become null."""
    alone = inferred(tmp_path, "n,t\nNA,DE\n5,FR\n")
    assert (alone.csv.null_values, kinds(alone)["n"]) == (("NA",), "int | None")
    needed = inferred(tmp_path, "n,t\nNA,DE\n5,NA\n")
    assert (needed.csv.null_values, kinds(needed)["n"]) == ((), "str")


def test_encoding_and_delimiter_are_found_out(tmp_path: Path) -> None:
    """cp949, utf-16 and a BOM; a comma in a quoted cell is none."""
    text = '이름;값\n"가,나,다";1\n라;2\n'
    for encoding, named in (
        ("cp949", "cp949"),
        ("utf-16", "utf-16"),
        ("utf-8-sig", "utf-8"),
        ("utf-8", "utf-8"),
    ):
        found = inferred(tmp_path, text.encode(encoding))
        assert (found.csv.encoding, found.csv.delimiter) == (named, ";")
        assert kinds(found) == {"이름": "str", "값": "int"}
    with pytest.raises(FileError, match="give --encoding"):
        inferred(tmp_path, b"a\n\xff\xff\xff\n")


def test_a_long_file_in_another_encoding_is_recognised_too(tmp_path: Path) -> None:
    """Wherever the part that is looked at ends, in the middle of a letter as well."""
    for padding in range(4):
        text = "a" * padding + ";b\n" + "한글;가\n" * 150_000
        found = inferred(tmp_path, text.encode("cp949"), most_rows=10)
        assert (found.csv.encoding, found.csv.delimiter) == ("cp949", ";")


def test_only_so_many_rows_are_looked_at(tmp_path: Path) -> None:
    """What is told is told of those; ragged rows are counted among them."""
    found = inferred(tmp_path, "a,b\n1,2\n1\n3,4\nx,y\n", most_rows=3)
    assert (found.rows, found.ragged, found.complete) == (3, 1, False)
    assert kinds(found) == {"a": "int", "b": "int"}
    assert "the first 3 rows" in model_source("t", found)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    """There is nothing to infer from; an empty file has not even a header."""
    with pytest.raises(FileError, match="no rows"):
        inferred(tmp_path, "a,b\n")
    with pytest.raises(FileError, match="empty"):
        inferred(tmp_path, "")


def test_the_source_defines_the_model_that_was_held_against_the_rows(tmp_path: Path) -> None:
    """The written module imports, and its columns are those of the inferred model."""
    found = inferred(
        tmp_path,
        "Order ID,date,dt,amount,at,day,ref,class,json,str\n"
        "1,2026-01-31,,1.25,2026-01-31T10:00:00Z,10:00,0b4c8a3e-6f0d-4f0e-9a53-0a3d5f2f9d11,a,2,z\n"
        "2,2026-02-01,,2.50,2026-01-31T10:00:00Z,,0b4c8a3e-6f0d-4f0e-9a53-0a3d5f2f9d12,b,,z\n",
    )
    path = tmp_path / "written_model.py"
    path.write_text(model_source("order_items", found), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("written_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["written_model"] = module
    spec.loader.exec_module(module)
    written: type[BaseModel] = module.OrderItems
    assert columns_of_model(written) == columns_of_model(found.model("OrderItems"))
    assert written.__dict__["__jobu_model__"] == "OrderItems"
    assert found.rename == {"Order ID": "order_id", "class": "class_", "json": "json_"}


def test_entry_and_event_name_the_file_and_leave_defaults_out(tmp_path: Path) -> None:
    """Only what differs from a default is written for a person to read."""
    found = inferred(tmp_path, "a;B\n1;2\n")
    entry = dataset_entry("things", found, parse_table("things"))
    assert entry == {
        "input": "file.csv",
        "csv": {"delimiter": ";"},
        "rename": {"B": "b"},
        "model": "Things",
        "target": "default.public.things",
        "mode": "append",
    }
    assert sample_event("things", found).count("\n") == 1


@given(st.lists(st.text(max_size=80), unique=True, max_size=12))
def test_field_names_are_always_usable_and_never_shared(columns: list[str]) -> None:
    """Whatever a header holds: an attribute of its own, a column of its own."""
    names = list(field_names(columns).values())
    assert len(names) == len(columns) == len(set(names))
    for name in names:
        assert name.isidentifier()
        assert not keyword.iskeyword(name)
        assert not hasattr(BaseModel, name)
        assert not name.startswith(("_", "model_", "jobu_"))
        assert len(name.encode()) <= 63


def test_a_dataset_is_named_for_its_file_without_its_date() -> None:
    """The name must do for a module, a table and assets."""
    assert dataset_name("Orders 2026-11-24") == "orders"
    assert dataset_name("orderItems_20261124") == "order_items"
    assert model_name("order_items") == "OrderItems"
    for unusable in ("주문", "2026-11-24", "class", "jobu_loads", ""):
        with pytest.raises(InvalidParams, match="give --name"):
            dataset_name(unusable)
