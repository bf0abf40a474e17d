"""``fused: true`` gives what three stages give: the same rows, rejects, Parquet and facts."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel, field_validator

from jobu_core.errors import (
    DataError,
    FenceLost,
    FileError,
    InvalidParams,
    LoadRefused,
    RowsRejected,
    SchemaMismatch,
)
from jobu_core.handlers.pydantic_validator import SampleRecord
from jobu_core.pipeline.load.postgres import load_parquet
from tests.fused_support import stream_of
from tests.handler_bench import make_project
from tests.load_bench import NOON, items

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.handler_bench import Project
    from tests.load_bench import Bench

INPUT = "/data/raw/in.csv"
CLEAN = "id,name,value\n" + "".join(f"{at},name {at},{at / 4}\n" for at in range(1, 501))
MESSY = (
    "id,name,value\n1,one,1.5\nx,two,2\n3,,3\n4,four\n5,five,-5\n6,six,6,6\n 7 ,seven,7e0\n"
    "8,eight,8\n9,nine,\n10,ten,1_0\n"
)
KEPT = {"valid_path": "/data/out/valid.parquet", "rejects_path": "/data/out/bad.parquet"}


@dataclass(frozen=True)
class Sameness:
    """An input and params that both ways must make the same of."""

    name: str
    text: str = MESSY
    params: Mapping[str, Any] = field(default_factory=dict)
    encoding: str = "utf-8"


SAME = (
    Sameness("clean", CLEAN),
    Sameness("messy"),
    Sameness("messy with values", params={"show_values": True}),
    Sameness("filtered", params={"filters": {"value": {"gt": 2}, "id": {"ne": "8"}}}),
    Sameness(
        "renamed and projected",
        "no,label,amount,note\n1,a,1\n2,b,2,x\n3,c,3,y\n",
        {
            "rename": {"no": "id", "label": "name", "amount": "value"},
            "columns": ["value", "name", "id"],
        },
    ),
    Sameness("typed", params={"types": {"value": "float"}, "filters": {"value": {"gte": 1.5}}}),
    Sameness("strict coercion", CLEAN, {"coercion": "strict"}),
    Sameness("nulls", 'id,name,value\n1,one,\n2,NA,2\n3,"",3\n', {"null_means": "missing"}),
    Sameness(
        "cp949", "id,name,value\n1,한글,1\n2,이름,2\n", {"csv": {"encoding": "cp949"}}, "cp949"
    ),
    Sameness(
        "numbers in German",
        "id;name;value\n1.000;one;1.234,5\n2;two;x\n3;three;-0,25\n",
        {"csv": {"delimiter": ";", "decimal": ",", "thousands": "."}},
    ),
    Sameness("append", CLEAN, {"mode": "append"}),
    Sameness("replace in place", params={"replace_strategy": "delete"}),
    Sameness("several files", params={"input_path": "/data/raw/part*.csv"}),
    Sameness("transformed", params={"transform": "trimmed", "filters": {"id": {"ne": "9"}}}),
    Sameness("transformed as a whole", CLEAN, {"transform": "twice", "transform_scope": "file"}),
    Sameness("header only", "id,name,value\n", {"allow_empty": True}),
)


def trimmed(frame: Any) -> Any:  # noqa: ANN401 - a pandas DataFrame
    """Return the rows with names without blanks."""
    return frame.assign(name=frame["name"].str.strip())


def twice(frame: Any) -> Any:  # noqa: ANN401 - a pandas DataFrame
    """Return every other row, each two times."""
    return frame.iloc[[at for at in range(0, len(frame), 2) for _ in range(2)]]


@pytest.mark.parametrize("case", SAME, ids=lambda case: case.name)
def test_one_stream_makes_what_three_stages_make(bench: Bench, case: Sameness) -> None:
    """Rows in their order, the bytes of the Parquet, rejects, result and materializations."""
    project = make_project(bench)
    project.registry = replace(project.registry, transforms={"trimmed": trimmed, "twice": twice})
    for name in ("in", "part1", "part2"):
        project.write(f"raw/{name}.csv", "").write_text(case.text, encoding=case.encoding)
    params = {"dataset": "sample", "input_path": INPUT, **KEPT, **case.params}
    found = [_made(project, params, execution) for execution in (1, 2)]
    three, fused = found
    assert fused == three


def _made(project: Project, params: dict[str, Any], execution: int) -> dict[str, Any]:
    """Run the params, fused the second time, and return everything that came of it."""
    bench, fused = project.bench, execution == 2
    bench.run("DROP TABLE IF EXISTS sample")
    bench.run("CREATE TABLE sample (id bigint, name text, value double precision)")
    bench.run("INSERT INTO sample VALUES (-1, 'old', 0)")
    project.emitted.clear()
    result = project.run("pipeline", params | {"fused": fused}, execution_id=execution)
    out = project.root / "data" / "out"
    return {
        "rows": bench.rows("SELECT id, name, value FROM sample ORDER BY ctid"),
        "valid": (out / "valid.parquet").read_bytes(),
        "rejects": _rejects(out / "bad.parquet"),
        "early": _rejects(*project.root.glob(f".jobu/work/{execution}/stages/*preprocess-*")),
        "manifest": bench.rows(
            "SELECT rows, rejected, source_sha256, mode FROM jobu_loads"
            " ORDER BY load_id DESC LIMIT 1"
        ),
        "result": _told(result),
        "emitted": [
            (each.asset, _told(each.metadata), each.columns, each.checks, each.sources)
            for each in project.emitted
        ],
        "left": [
            path.name
            for path in project.root.glob(".jobu/work/*/stages/*")
            if path.name.startswith("fused-") and "rejects" not in path.name
        ],
    }


def _rejects(*paths: Path) -> list[dict[str, Any]] | None:
    found = [path for path in paths if path.is_file() and path.name.endswith(".parquet")]
    found = [path for path in found if "rejects" in path.name or path.name == "bad.parquet"]
    return [row for path in found for row in pq.read_table(path).to_pylist()] or None


_OWN = frozenset(
    {
        *("file", "output_path", "rejects_path", "load_id", "load_key", "execution_id", "fused"),
        *("seconds", "bytes_in", "bytes_out"),
    }
)
"""Names of executions and of files that only jobu knows, and what a stage cost; not the same,
or only in one."""


def _told(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _told(each) for key, each in value.items() if key not in _OWN}
    return [_told(each) for each in value] if isinstance(value, list) else value


FUSED: dict[str, Any] = {"dataset": "sample", "input_path": INPUT, "fused": True, **KEPT}


@pytest.fixture
def fused(data_project: Project) -> Project:
    """Return a project whose table has one old row and whose valid Parquet is an old one."""
    data_project.bench.run(
        "CREATE TABLE sample (id bigint, name text, value double precision NOT NULL)",
        "INSERT INTO sample VALUES (-1, 'old', 0)",
    )
    old = data_project.write("out/valid.parquet", "")
    pq.write_table(pa.table({"old": [1]}), old)
    data_project.write("raw/in.csv", MESSY)
    return data_project


def _untouched(project: Project) -> bool:
    """Whether table, manifest and Parquet are as before, and no temporary file is left."""
    out = project.root / "data" / "out"
    return (
        project.bench.rows("SELECT id FROM sample") == [(-1,)]
        and not project.bench.rows("SELECT 1 FROM jobu_loads")
        and pq.read_schema(out / "valid.parquet").names == ["old"]
        and not list(project.root.rglob("*.tmp"))
    )


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"strict": True}, "strict allows none"),
        ({"max_errors": 3}, "max_errors is 3"),
        ({"max_error_rate": 0.5}, "max_error_rate is 0.5"),
    ],
)
def test_too_many_rejects_leave_everything_as_it_was(
    fused: Project, limits: dict[str, Any], why: str
) -> None:
    """Known after the last row only, and before anything is published but the rejects."""
    with pytest.raises(RowsRejected, match=why):
        fused.run("pipeline", FUSED | limits)
    assert _untouched(fused)
    assert fused.emitted == []
    assert [row["row_number"] for row in _rejects(fused.root / "data/out/bad.parquet") or ()] == [
        *(2, 3, 5, 9),
    ]
    early = fused.root / ".jobu/work/1/1/preprocess.rejects.parquet"
    assert [row["row_number"] for row in pq.read_table(early).to_pylist()] == [4, 6]


def test_rejects_of_the_preprocessing_are_told_by_their_rule(fused: Project) -> None:
    """As the first of three stages would, and not as those of an earlier stage."""
    fused.write("raw/in.csv", "id,name,value\n1,a,1\n2,b\n")
    with pytest.raises(RowsRejected, match=r"1 of 2 rows rejected, strict .*; row: ragged_row 1$"):
        fused.run("pipeline", FUSED | {"strict": True})
    assert _untouched(fused)


def test_every_row_rejected_always_fails(fused: Project) -> None:
    """Nothing to load is no load, whatever the limits are."""
    fused.write("raw/in.csv", "id,name,value\nx,a,1\ny,b,2\n")
    with pytest.raises(RowsRejected, match="every row was rejected"):
        fused.run("pipeline", FUSED)
    assert _untouched(fused)


def test_a_guard_that_needs_the_count_is_asked_after_the_rows(fused: Project) -> None:
    """max_shrink and an empty replace are refused; the rows are gone again."""
    fused.bench.run("INSERT INTO sample SELECT n, 'old', 0 FROM generate_series(1, 9) AS n")
    with pytest.raises(LoadRefused, match="would shrink from 10 to 4 rows"):
        fused.run("pipeline", FUSED | {"max_shrink": 0.5})
    fused.write("raw/in.csv", "id,name,value\n")
    with pytest.raises(LoadRefused, match="the file has no rows"):
        fused.run("pipeline", FUSED | {"replace_strategy": "delete"}, execution_id=2)
    assert fused.bench.count("sample") == 10
    assert fused.bench.rows("SELECT 1 FROM jobu_loads") == []


class Nullable(BaseModel):
    """Rows whose name may be null."""

    id: int
    name: str | None


def test_a_null_for_a_required_column_is_told_by_the_column(bench: Bench) -> None:
    """No footer has counted the nulls before; each batch is looked at."""
    path = bench.folder / "in.csv"
    path.write_text("id,name\n1,a\n2,\n")
    bench.run("CREATE TABLE items (id bigint, name text NOT NULL)")
    request = replace(bench.request(items(1)), input=stream_of(path, Nullable))
    with pytest.raises(DataError, match="column 'name' has nulls and is NOT NULL in the table"):
        load_parquet(request)
    assert bench.count("items") == 0
    assert not path.with_name("valid").exists()


def test_differences_are_told_before_a_row_is_read(fused: Project) -> None:
    """The columns are known from the header and the model."""
    fused.bench.run("ALTER TABLE sample DROP name")
    with pytest.raises(SchemaMismatch, match="'name' of the file is not in the table"):
        fused.run("pipeline", FUSED)
    assert _untouched(fused)


def test_a_retry_finds_the_load_and_tells_of_it_again(fused: Project) -> None:
    """The manifest decides; its counts are materialized, the rejects are still named."""
    params = {key: each for key, each in FUSED.items() if key not in KEPT}
    first = fused.run("pipeline", params)
    fused.emitted.clear()
    again = fused.run("pipeline", params, attempt=2)
    assert again["reason"] == again["load"]["outcome"] == "already_loaded"
    assert (again["rows"], again["load"]["load_id"]) == (4, first["load"]["load_id"])
    for stage in ("preprocess", "validate"):
        for known in ("rejects_path", "source_sha256", "input_path"):
            assert again[stage][known] == first[stage][known]
    dataset = fused.registry.datasets["sample"]
    assert [each.asset for each in fused.emitted] == [
        dataset.parquet_asset,
        dataset.valid_asset,
        dataset.table_asset,
    ]
    valid, table = fused.emitted[1:]
    assert valid.metadata["dagster/row_count"] == table.metadata["dagster/row_count"] == 4
    assert valid.metadata["rejected"] == table.metadata["rejected"] == 6
    assert fused.bench.count("sample") == 4
    kept = fused.root.glob(".jobu/work/1/stages/*.parquet")
    assert all(path.name.endswith(".rejects.parquet") for path in kept)


def test_the_same_load_from_other_bytes_is_an_error(fused: Project) -> None:
    """The file is read for its hash, so that a changed one is not taken for loaded."""
    fused.run("pipeline", FUSED)
    fused.write("raw/in.csv", MESSY.replace("one", "uno"))
    with pytest.raises(LoadRefused, match="was made from another input"):
        fused.run("pipeline", FUSED, attempt=2)
    assert fused.bench.count("sample") == 4


def test_a_stale_replace_reads_nothing(fused: Project) -> None:
    """Newer rows are there already; the Parquet of old ones is not made either."""
    fused.write("raw/in.csv", CLEAN)
    fused.run("pipeline", FUSED | {"valid_path": "/data/out/new.parquet"}, execution_id=2)
    early = {"effective_time": NOON - timedelta(hours=1)}
    fused.emitted.clear()
    result = fused.run("pipeline", FUSED, **early)
    assert (result["rows"], result["reason"]) == (0, "stale_replace")
    assert fused.emitted == []
    assert pq.read_schema(fused.root / "data/out/valid.parquet").names == ["old"]


def test_a_lost_lease_loads_nothing(fused: Project) -> None:
    """The files are whole and there before the lease is asked; the table is untouched."""

    def lost() -> None:
        assert pq.read_metadata(fused.root / "data/out/valid.parquet").num_rows == 4
        assert (fused.root / "data/out/bad.parquet").is_file()
        raise FenceLost("it is another's")

    with pytest.raises(FenceLost):
        fused.run("pipeline", FUSED | {"replace_strategy": "delete"}, check_lease=lost)
    assert fused.bench.rows("SELECT id FROM sample") == [(-1,)]


def test_a_file_that_grows_while_it_is_read_is_an_error(bench: Bench) -> None:
    """Nothing is published, and what was loaded of it so far is rolled back."""
    path = bench.folder / "in.csv"
    path.write_text("id,name,value\n1,a,1\n")
    stream = stream_of(path, SampleRecord)

    def read_what_grows() -> None:
        with stream.open() as source:
            path.write_text("id,name,value\n1,a,1\n2,b,2\n")
            list(source.batches())

    with pytest.raises(FileError, match="changed while it was read"):
        read_what_grows()
    assert [each.name for each in bench.folder.iterdir()] == ["in.csv"]


def test_a_swap_that_is_given_up_late_loads_from_the_parquet(fused: Project) -> None:
    """A stream has one pass; the second one reads what the first has published."""
    fused.bench.run(
        "ALTER TABLE sample ADD CONSTRAINT u UNIQUE (id)", "ALTER TABLE sample CLUSTER ON u"
    )
    result = fused.run("pipeline", FUSED)
    assert (result["rows"], result["load"]["strategy"]) == (4, "delete")
    assert fused.bench.count("sample") == 4


def test_validators_run_in_the_thread_of_the_attempt(bench: Bench) -> None:
    """A cancel reaches that thread, and a user's code may rely on it."""
    seen = []

    class Watched(BaseModel):
        id: int
        name: str

        @field_validator("name")
        @classmethod
        def _look(cls, value: str) -> str:
            seen.append(threading.current_thread())
            return value

    path = bench.folder / "in.csv"
    path.write_text("id,name\n1,a\n2,b\n")
    stream = stream_of(path, Watched)
    bench.run("CREATE TABLE items (id bigint, name text)")
    load_parquet(replace(bench.request(items(1)), input=stream))
    assert bench.count("items") == 2
    assert set(seen) == {threading.current_thread()}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"output_path": "/data/out/p.parquet"}, "writes no preprocessed Parquet"),
        ({"fused": "yes"}, "fused"),
    ],
)
def test_what_a_stream_cannot_do_is_refused(
    data_project: Project, params: dict[str, Any], message: str
) -> None:
    """At dispatch, before anything is read."""
    with pytest.raises(InvalidParams, match=message):
        data_project.registry.validate("pipeline", FUSED | params)
