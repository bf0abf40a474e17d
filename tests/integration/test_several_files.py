"""Several files by a pattern through the handlers: one load, and rejects of each file."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from jobu_core.errors import FileError
from jobu_core.models import Status
from tests.reload_bench import Reloading

if TYPE_CHECKING:
    from tests.fix_aftermath import Aftermath
    from tests.handler_bench import Project

PATTERN = "/data/raw/day_*.csv"


@pytest.fixture
def loading(aftermath: Aftermath) -> Reloading:
    """Return a system with the demo's dataset and two files of two days."""
    found = Reloading(aftermath)
    found.write("day_1.csv", "id,name,value\n1,a,1\nx,b,2\n")
    found.write("day_2.csv", "value,id,name\n3,3,c\n-4,4,d\n5,5\n")
    return found


def test_a_pattern_is_one_load_whose_rejects_are_reloaded(loading: Reloading) -> None:
    """Rows of equal numbers in two files stay apart, and each loads once."""
    params = {"dataset": "sample", "input_path": PATTERN}
    first = loading.run(handler_name="pipeline", params=params)
    assert first.status is Status.SUCCESS, first.error_message
    assert loading.table == [(1, "a", 1), (3, "c", 3)]
    told = first.result["preprocess"]
    assert (told["input_path"], told["rows_in"]) == (PATTERN, 5)
    assert [(each["name"], each["rows"]) for each in told["files"]] == [
        ("/data/raw/day_1.csv", 2),
        ("/data/raw/day_2.csv", 3),
    ]
    text = loading.export(first)
    assert text.splitlines()[0] == '"_reject","_error","id","name","value"'
    assert "/data/raw/day_1.csv row 2: id: " in text
    assert "/data/raw/day_2.csv row 2: value: " in text
    assert "/data/raw/day_2.csv row 3: the row has 2 cells" in text
    fixed = text.replace('"x"', '"2"').replace('"-4"', '"4"')
    without_ragged = "\n".join(line for line in fixed.splitlines() if "the row has" not in line)
    (made,) = loading.reload(first, without_ragged).executions
    assert loading.settled(made).status is Status.SUCCESS
    assert [row[0] for row in loading.table] == [1, 2, 3, 4]
    assert loading.reload(first, without_ragged).already == {made: 2}


def test_export_names_the_file_that_was_changed_since(loading: Reloading) -> None:
    """The others may be as they were."""
    first = loading.run(
        handler_name="pipeline", params={"dataset": "sample", "input_path": PATTERN}
    )
    loading.write("day_2.csv", "value,id,name\n3,3,c\n-4,4,d\n6,6\n")
    with pytest.raises(FileError, match=r"^/data/raw/day_2\.csv: is not the file"):
        loading.export(first)


def test_a_pattern_takes_files_in_the_order_of_their_names(data_project: Project) -> None:
    """Hidden files and those below hidden folders are not meant; a missing match is an error."""
    for name, row in (("in_10", 10), ("in_2", 2), (".in_3", 3), (".jobu-reloads/in_4", 4)):
        data_project.write(f"raw/{name}.csv", f"id\n{row}\n")
    out = "/data/out.parquet"
    told = data_project.run(
        "pandas_preprocess", {"input_path": "/data/raw/**/*in_*.csv", "output_path": out}
    )
    names = ["/data/raw/in_10.csv", "/data/raw/in_2.csv"]
    assert [each["name"] for each in told["files"]] == names
    assert data_project.emitted[-1].metadata["files"] == 2, "a number: there may be thousands"
    params = {"input_path": "/data/raw/none_*.csv", "output_path": out}
    with pytest.raises(FileError, match="no such file"):
        data_project.run("pandas_preprocess", params)
    one = data_project.run(
        "pandas_preprocess", {"input_path": "/data/raw/in_2*.csv", "output_path": out}
    )
    assert one["input_path"] == "/data/raw/in_2.csv"
    assert "files" not in one


def test_a_stage_of_several_files_is_reused_while_none_of_them_changes(
    data_project: Project,
) -> None:
    """The fingerprint is of all of them."""
    for at in (1, 2):
        data_project.write(f"raw/day_{at}.csv", f"id,name,value\n{at},a,1\n")
    params = {"dataset": "sample", "input_path": PATTERN}
    first = data_project.stage("preprocess", params, {})["preprocess"]
    again = data_project.stage("preprocess", params, {}, attempt=2)["preprocess"]
    assert (again["reused"], again["files"]) == (True, first["files"])
    data_project.write("raw/day_2.csv", "id,name,value\n3,a,1\n")
    changed = data_project.stage("preprocess", params, {}, attempt=3)["preprocess"]
    assert "reused" not in changed


def test_rows_of_a_packed_file_are_corrected_as_plain_text(loading: Reloading) -> None:
    """Also when the format is declared: the corrected rows are not packed."""
    path = loading.write("in.csv", "")
    path.write_bytes(gzip.compress(b"id,name,value\n1,a,1\nx,b,2\n"))
    params = {"dataset": "sample", "input_path": "/data/raw/in.csv", "csv": {"compression": "gzip"}}
    first = loading.run(handler_name="pipeline", params=params)
    assert loading.table == [(1, "a", 1)]
    (made,) = loading.reload(first, loading.export(first).replace('"x"', '"2"')).executions
    assert loading.settled(made).status is Status.SUCCESS
    assert loading.table == [(1, "a", 1), (2, "b", 2)]
