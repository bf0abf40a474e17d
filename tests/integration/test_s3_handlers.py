"""The data handlers on objects in S3: read from there, written there, loaded from there."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobu_core.errors import (
    FenceLost,
    FileError,
    InvalidParams,
    PathRefused,
    RowsRejected,
    StorageUnavailable,
)
from jobu_core.pipeline.paths import Paths
from jobu_core.pipeline.rejects import REJECTS_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fix_s3 import S3, CuttingProxy
    from tests.handler_bench import Project

CSV = b"id,name,value\n1,one,1.5\n2,,nothing\n3,three,3.5\n"
"""Two rows that are valid and one that is not, twice over."""


class Lake:
    """A project and a bucket that it may use."""

    def __init__(self, project: Project, s3: S3, **changes: Any) -> None:  # noqa: ANN401 - settings
        """Let the project's attempts find the bucket."""
        self.project = project
        self.s3 = s3
        self.paths = Paths({"/data": "data"}, project.root, s3.buckets(**changes))
        s3.put("raw/three.csv", CSV)
        self.input = s3.url("raw/three.csv")

    def run(self, handler: str, params: Mapping[str, Any], **changes: Any) -> Any:  # noqa: ANN401 - a handler's result
        """Run a handler as one attempt."""
        return self.project.run(handler, params, **({"paths": self.paths} | changes))

    def table(self, key: str) -> pa.Table:
        """Return the Parquet under a key."""
        return pq.read_table(io.BytesIO(self.s3.get(key)))

    def work(self) -> list[str]:
        """Return the copies and drafts that are left of attempts."""
        folder = self.project.root / ".jobu" / "work"
        return [str(each.relative_to(folder)) for each in folder.rglob("s3-*")]


@pytest.fixture
def lake(data_project: Project, s3: S3) -> Lake:
    """Return a project with a bucket."""
    return Lake(data_project, s3)


def test_preprocess_reads_and_writes_objects(lake: Lake) -> None:
    """The Parquet is in the bucket, says where it is from, and nothing stays behind."""
    output = lake.s3.url("out/three.parquet")
    told = lake.run("pandas_preprocess", {"input_path": lake.input, "output_path": output})
    assert told["input_path"] == lake.input
    assert told["output_path"] == output
    assert lake.project.emitted[-1].metadata["dagster/uri"] == output
    assert told["rejects_path"] is None
    table = lake.table("out/three.parquet")
    assert table.column("name").to_pylist() == ["one", None, "three"]
    footer = pq.ParquetFile(io.BytesIO(lake.s3.get("out/three.parquet"))).metadata.metadata
    assert (footer or {})[b"jobu.source_file"] == lake.input.encode()
    assert lake.s3.names() == ["out/three.parquet", "raw/three.csv"]
    assert lake.work() == []


def test_an_object_is_written_as_a_file_would_be(lake: Lake) -> None:
    """Byte for byte, so that a place is no reason for a difference."""
    raw = lake.project.write("raw/three.csv", CSV.decode())
    assert raw.read_bytes() == CSV
    params = {"types": {"value": "float"}, "max_errors": 1}
    there = {"input_path": lake.input, "output_path": lake.s3.url("out/a.parquet")}
    here = {"input_path": "/data/raw/three.csv", "output_path": "/data/out/a.parquet"}
    lake.run("pandas_preprocess", params | there)
    lake.run("pandas_preprocess", params | here)
    file = pq.read_table(lake.project.root / "data/out/a.parquet")
    assert lake.table("out/a.parquet").equals(file)
    rejects = pq.read_table(lake.project.root / "data/out/a.rejects.parquet").to_pylist()
    assert [row | {"source_file": lake.input} for row in rejects] == lake.table(
        "out/a.rejects.parquet"
    ).to_pylist()


def test_rejects_go_where_the_user_says(lake: Lake) -> None:
    """Any of the three files may lie here or there."""
    lake.run(
        "pydantic_validator",
        {
            "input_path": lake.input,
            "output_path": "/data/out/valid.parquet",
            "rejects_path": lake.s3.url("rejects/three.parquet"),
        },
    )
    assert pq.read_table(lake.project.root / "data/out/valid.parquet").num_rows == 2
    assert lake.table("rejects/three.parquet").num_rows == 2
    lake.run(
        "pydantic_validator",
        {
            "input_path": lake.input,
            "output_path": lake.s3.url("out/valid.parquet"),
            "rejects_path": "/data/out/rejected.parquet",
        },
    )
    assert lake.table("out/valid.parquet").num_rows == 2
    assert pq.read_table(lake.project.root / "data/out/rejected.parquet").num_rows == 2
    assert lake.work() == []


def test_rejects_of_an_earlier_run_become_empty(lake: Lake) -> None:
    """Jobu deletes nothing in a bucket, and leaves no rejects of another output there."""
    params = {"input_path": lake.input, "output_path": lake.s3.url("out/valid.parquet")}
    lake.run("pydantic_validator", params)
    assert lake.table("out/valid.rejects.parquet").num_rows == 2
    lake.s3.put("raw/three.csv", CSV.replace(b"2,,nothing\n", b""))
    told = lake.run("pydantic_validator", params)
    assert told["rejects_path"] is None
    rejects = lake.table("out/valid.rejects.parquet")
    assert (rejects.num_rows, rejects.schema) == (0, REJECTS_SCHEMA)


def test_too_many_rejects_leave_the_output_and_tell_the_rejects(lake: Lake) -> None:
    """As on this machine: the old output stays, why is in the rejects."""
    lake.s3.put("out/valid.parquet", b"old")
    with pytest.raises(RowsRejected):
        lake.run(
            "pydantic_validator",
            {
                "input_path": lake.input,
                "output_path": lake.s3.url("out/valid.parquet"),
                "strict": True,
            },
        )
    assert lake.s3.get("out/valid.parquet") == b"old"
    assert lake.table("out/valid.rejects.parquet").num_rows == 2
    assert lake.work() == []


def test_the_loader_loads_an_object(lake: Lake) -> None:
    """A Parquet of anybody, counted and named."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2], "name": ["a", "b"], "value": [1.0, 2.0]}), sink)
    lake.s3.put("in/rows.parquet", sink.getvalue())
    url = lake.s3.url("in/rows.parquet")
    told = lake.run("db_loader", {"dataset": "sample", "input_path": url})
    assert told["rows"] == 2
    assert lake.project.bench.count("sample") == 2
    assert lake.project.emitted[-1].metadata["input_path"] == url
    assert lake.work() == []


PIPELINE = {"dataset": "sample", "max_errors": 1}


def test_the_pipeline_goes_from_an_object_to_the_table(lake: Lake) -> None:
    """With its outputs in the bucket, and the table the same as from a file."""
    told = lake.run(
        "pipeline",
        PIPELINE
        | {
            "input_path": lake.input,
            "output_path": lake.s3.url("out/three.parquet"),
            "valid_path": lake.s3.url("out/valid.parquet"),
            "rejects_path": lake.s3.url("out/rejects.parquet"),
        },
    )
    assert told["preprocess"]["output_path"] == lake.s3.url("out/three.parquet")
    assert told["validate"]["output_path"] == lake.s3.url("out/valid.parquet")
    assert told["validate"]["rejects_path"] == lake.s3.url("out/rejects.parquet")
    assert lake.table("out/three.parquet").num_rows == 3
    assert lake.table("out/valid.parquet").column("id").to_pylist() == [1, 3]
    assert set(lake.table("out/rejects.parquet").column("row_number").to_pylist()) == {2}
    assert lake.project.bench.count("sample") == 2
    assert lake.work() == []


def test_the_pipeline_keeps_its_stages_here(lake: Lake) -> None:
    """What the user did not name goes into the work folder, whatever the input's place."""
    told = lake.run("pipeline", PIPELINE | {"input_path": lake.input})
    assert told["load"]["rows"] == 2
    assert lake.s3.names() == ["raw/three.csv"]
    assert told["validate"]["rejects_path"].startswith("validate-")


def test_a_later_attempt_reuses_the_stage_and_writes_the_object_anew(
    lake: Lake, s3_proxy: CuttingProxy
) -> None:
    """An outage while the output goes up costs no work twice."""
    params = PIPELINE | {
        "input_path": lake.input,
        "output_path": lake.s3.url("out/three.parquet"),
        "valid_path": lake.s3.url("out/valid.parquet"),
    }
    through = Lake(lake.project, lake.s3, endpoint_url=s3_proxy.endpoint)
    s3_proxy.cut_at(b"out/valid.parquet")
    with pytest.raises(StorageUnavailable, match=r"out/valid\.parquet"):
        through.run("pipeline", params)
    assert lake.s3.names() == ["out/three.parquet", "out/valid.rejects.parquet", "raw/three.csv"]
    assert not lake.project.bench.value("SELECT to_regclass('sample') IS NOT NULL")
    told = lake.run("pipeline", params, attempt=2)
    assert told["preprocess"]["reused"]
    assert told["validate"]["reused"]
    assert told["validate"]["output_path"] == lake.s3.url("out/valid.parquet")
    assert told["validate"]["rejects_path"] == lake.s3.url("out/valid.rejects.parquet")
    assert lake.table("out/valid.parquet").num_rows == 2
    assert lake.project.bench.count("sample") == 2


def test_too_many_rejects_of_the_pipeline_are_put_where_the_user_wants(lake: Lake) -> None:
    """A failed run still says what was wrong with the rows."""
    with pytest.raises(RowsRejected):
        lake.run(
            "pipeline",
            {
                "dataset": "sample",
                "strict": True,
                "input_path": lake.input,
                "rejects_path": lake.s3.url("out/rejects.parquet"),
            },
        )
    assert lake.table("out/rejects.parquet").num_rows == 2


def test_an_input_that_is_cut_is_an_outage(lake: Lake, s3_proxy: CuttingProxy) -> None:
    """No row of it is taken for the file, and the attempt may be repeated."""
    lake.s3.put("raw/large.csv", b"id,name,value\n" + b"1,one,1.5\n" * 2_000_000)
    through = Lake(lake.project, lake.s3, endpoint_url=s3_proxy.endpoint)
    s3_proxy.cut_answers_after(5 << 20)
    with pytest.raises(StorageUnavailable):
        through.run("pipeline", {"dataset": "sample", "input_path": lake.s3.url("raw/large.csv")})
    assert lake.work() == []


def test_a_pattern_reads_several_objects_in_order(lake: Lake) -> None:
    """As with files: one after another by name, each row with its own place."""
    lake.s3.put("raw/b.csv", b"id,name,value\n11,eleven,11\n12,,12\n")
    lake.s3.put("raw/.hidden.csv", b"nothing\n")
    url = lake.s3.url("raw/*.csv")
    told = lake.run("pipeline", {"dataset": "sample", "max_errors": 2, "input_path": url})
    assert told["preprocess"]["input_path"] == url
    names = [each["name"] for each in told["preprocess"]["files"]]
    assert names == [lake.s3.url("raw/b.csv"), lake.input]
    rows = lake.project.bench.rows("SELECT id FROM sample ORDER BY id")
    assert [row[0] for row in rows] == [1, 3, 11]
    assert lake.work() == []


FUSED = PIPELINE | {"fused": True}


def test_one_stream_goes_from_an_object_to_the_table(lake: Lake) -> None:
    """The same rows and the same objects as three stages make."""
    three, one = (lake.s3.url(f"out/{name}/valid.parquet") for name in ("three", "one"))
    lake.run("pipeline", PIPELINE | {"input_path": lake.input, "valid_path": three})
    told = lake.run(
        "pipeline", FUSED | {"input_path": lake.input, "valid_path": one}, execution_id=2
    )
    assert told["validate"]["output_path"] == one
    assert told["validate"]["rejects_path"] == lake.s3.url("out/one/valid.rejects.parquet")
    for name in ("valid.parquet", "valid.rejects.parquet"):
        assert lake.s3.get(f"out/one/{name}") == lake.s3.get(f"out/three/{name}")
    assert lake.project.bench.count("sample") == 2
    assert lake.work() == []


def test_a_stream_that_cannot_put_its_rows_loads_none(lake: Lake, s3_proxy: CuttingProxy) -> None:
    """An object without a load may stay behind, a load without its object never."""
    through = Lake(lake.project, lake.s3, endpoint_url=s3_proxy.endpoint)
    params = FUSED | {"input_path": lake.input, "valid_path": lake.s3.url("out/valid.parquet")}
    s3_proxy.cut_at(b"out/valid.parquet")
    with pytest.raises(StorageUnavailable, match=r"out/valid\.parquet"):
        through.run("pipeline", params)
    assert not lake.project.bench.value("SELECT to_regclass('sample') IS NOT NULL")
    told = lake.run("pipeline", params, attempt=2)
    assert told["load"]["rows"] == 2
    assert lake.table("out/valid.parquet").num_rows == 2
    again = lake.run("pipeline", params, attempt=3)
    assert again["load"]["reason"] == "already_loaded"
    assert again["validate"]["output_path"] == params["valid_path"]
    assert again["validate"]["rejects_path"] == lake.s3.url("out/valid.rejects.parquet")


def test_too_many_rejects_of_a_stream_are_put_where_the_user_wants(lake: Lake) -> None:
    """As those of stages; the valid rows of it are nowhere."""
    with pytest.raises(RowsRejected):
        lake.run(
            "pipeline",
            FUSED
            | {
                "strict": True,
                "input_path": lake.input,
                "valid_path": lake.s3.url("out/valid.parquet"),
                "rejects_path": lake.s3.url("out/rejects.parquet"),
            },
        )
    assert lake.table("out/rejects.parquet").num_rows == 2
    assert lake.s3.names() == ["out/rejects.parquet", "raw/three.csv"]


def test_a_missing_object_fails_or_is_skipped(lake: Lake) -> None:
    """``if_missing`` holds for objects, too; a missing bucket is never skipped."""
    params = {"dataset": "sample", "input_path": lake.s3.url("raw/none.csv")}
    with pytest.raises(FileError, match=r"raw/none\.csv: no such"):
        lake.run("pipeline", params)
    told = lake.run("pipeline", params | {"if_missing": "skip"})
    assert told["reason"] == "input_missing"
    lake.s3.client.delete_object(Bucket=lake.s3.bucket, Key="raw/three.csv")
    lake.s3.client.delete_bucket(Bucket=lake.s3.bucket)
    with pytest.raises(FileError, match="there is no bucket"):
        lake.run("pipeline", params | {"if_missing": "skip"})


def test_an_input_is_never_written_over(lake: Lake) -> None:
    """Nor one output by another."""
    for params in (
        {"input_path": lake.input, "output_path": lake.input},
        {
            "input_path": lake.input,
            "output_path": lake.s3.url("out/a.parquet"),
            "rejects_path": lake.input,
        },
        {
            "input_path": lake.input,
            "output_path": lake.s3.url("out/a.parquet"),
            "rejects_path": lake.s3.url("out/a.parquet"),
        },
    ):
        with pytest.raises(InvalidParams, match="would be written over"):
            lake.run("pandas_preprocess", params)
    with pytest.raises(InvalidParams, match="would be written over"):
        lake.run("pipeline", PIPELINE | {"input_path": lake.input, "valid_path": lake.input})
    assert lake.s3.get("raw/three.csv") == CSV


def test_other_buckets_are_refused(lake: Lake) -> None:
    """By name, with what is allowed."""
    for params in (
        {"input_path": "s3://other/a.csv", "output_path": lake.s3.url("a.parquet")},
        {"input_path": lake.input, "output_path": "s3://other/a.parquet"},
    ):
        with pytest.raises(PathRefused, match=f"s3://{lake.s3.bucket}/"):
            lake.run("pandas_preprocess", params)


def test_who_lost_the_row_publishes_nothing(lake: Lake) -> None:
    """A zombie's late output must not replace a newer one."""

    def lost() -> None:
        raise FenceLost("attempt 1 no longer owns the row")

    with pytest.raises(FenceLost):
        lake.run(
            "pandas_preprocess",
            {"input_path": lake.input, "output_path": lake.s3.url("out/a.parquet")},
            check_lease=lost,
        )
    assert lake.s3.names() == ["raw/three.csv"]
    assert lake.work() == []
