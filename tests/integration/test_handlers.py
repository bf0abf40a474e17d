"""The data handlers end to end: files under a data root, a real target database."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobu_core.config import DatasetSettings
from jobu_core.errors import (
    DataError,
    FileError,
    InvalidParams,
    NotAvailableYet,
    PathRefused,
    RowsRejected,
    SchemaMismatch,
)
from tests.handler_bench import Project, make_project
from tests.load_bench import NOON, Bench, items

RAW = "/data/raw/sample.csv"
PARQUET = "/data/processed/sample.parquet"


def test_the_known_message_writes_the_parquet(data_project: Project) -> None:
    """The predecessor's message works verbatim: 100 rows of text, three columns."""
    result = data_project.run("pandas_preprocess", {"input_path": RAW, "output_path": PARQUET})
    assert (result["rows"], result["rejected"]) == (100, 0)
    assert (result["input_path"], result["output_path"]) == (RAW, PARQUET)
    written = pq.read_table(data_project.root / "data/processed/sample.parquet")
    assert written.num_rows == 100
    assert written.column_names[-3:] == ["id", "name", "value"]
    (made,) = data_project.emitted
    assert made.asset == ("pandas_preprocess",)
    assert made.metadata["dagster/row_count"] == 100
    assert made.metadata["execution_id"] == 1
    assert dict(made.columns) == {"id": "str", "name": "str", "value": "str"}


def test_preprocess_selects_renames_and_filters(data_project: Project) -> None:
    """Columns, rename and filters work together; the names are the new ones."""
    result = data_project.run(
        "pandas_preprocess",
        {
            "input_path": RAW,
            "output_path": PARQUET,
            "rename": {"value": "price"},
            "columns": ["price", "id"],
            "filters": {"id": {"lte": 10}},
        },
    )
    assert result["rows"] == 10
    assert [name for name, _ in result["columns"]] == ["price", "id"]


def test_a_missing_input_fails_or_is_skipped(data_project: Project) -> None:
    """if_missing: skip ends well with a reason and writes nothing."""
    params = {"input_path": "/data/raw/none.csv", "output_path": PARQUET}
    with pytest.raises(FileError, match="no such file"):
        data_project.run("pandas_preprocess", params)
    result = data_project.run("pandas_preprocess", params | {"if_missing": "skip"})
    assert result == {"rows": 0, "reason": "input_missing"}
    assert data_project.emitted == []
    skipped = data_project.run(
        "pipeline", {"dataset": "sample", "input_path": "/data/raw/none.csv", "if_missing": "skip"}
    )
    assert skipped["reason"] == "input_missing"


def test_the_validator_writes_valid_rows_and_explains_the_others(data_project: Project) -> None:
    """Bad rows become rejects with row, field and rule, and are counted."""
    data_project.write("raw/mixed.csv", "id,name,value\n1,a,1.5\nx,b,2\n3,,-1\n4,d,4\n")
    result = data_project.run(
        "pydantic_validator",
        {"input_path": "/data/raw/mixed.csv", "output_path": "/data/out/valid.parquet"},
    )
    assert (result["rows"], result["rows_in"], result["rejected"]) == (2, 4, 2)
    valid = pq.read_table(data_project.root / "data/out/valid.parquet")
    assert valid.column("id").to_pylist() == [1, 4]
    rejects = pq.read_table(data_project.root / "data/out/valid.rejects.parquet").to_pylist()
    assert {(row["row_number"], row["field"]) for row in rejects} == {
        (2, "id"),
        (3, "name"),
        (3, "value"),
    }
    (made,) = data_project.emitted
    assert made.asset == ("pydantic_validator",)
    assert [check.name for check in made.checks] == ["rejects_within_limits"]


def test_the_validator_takes_records_from_the_params(data_project: Project) -> None:
    """data: [...] is validated like a file, without one."""
    result = data_project.run(
        "pydantic_validator",
        {"data": [{"id": 1, "name": "a", "value": 0.5}, {"id": 2, "name": "", "value": 1}]},
    )
    assert (result["rows"], result["rejected"], result["output_path"]) == (1, 1, None)


@pytest.mark.parametrize("limit", [{"strict": True}, {"max_errors": 0}, {"max_error_rate": 0.1}])
def test_too_many_rejects_fail_and_leave_the_table(
    data_project: Project, limit: dict[str, object]
) -> None:
    """A breached limit is a data error; nothing is loaded."""
    data_project.write("raw/mixed.csv", "id,name,value\n1,a,1\n2,b,-1\n3,c,3\n")
    params = {"dataset": "sample", "input_path": "/data/raw/mixed.csv", **limit}
    with pytest.raises(RowsRejected, match="1 of 3 rows rejected"):
        data_project.run("pipeline", params)
    assert data_project.bench.value("SELECT to_regclass('public.sample')::text") is None


def test_the_loader_loads_what_the_validator_wrote(data_project: Project) -> None:
    """The three handlers in a row land the same rows as the pipeline."""
    data_project.run("pandas_preprocess", {"input_path": RAW, "output_path": PARQUET})
    valid = "/data/processed/valid.parquet"
    data_project.run(
        "pydantic_validator", {"input_path": PARQUET, "output_path": valid}, execution_id=2
    )
    result = data_project.run(
        "db_loader", {"dataset": "sample", "input_path": valid}, execution_id=3
    )
    assert (result["rows"], result["outcome"], result["table"]) == (
        100,
        "loaded",
        "default.public.sample",
    )
    again = data_project.run(
        "db_loader", {"dataset": "sample", "input_path": valid}, execution_id=3, attempt=2
    )
    assert (again["rows"], again["reason"]) == (100, "already_loaded")
    assert [made.asset for made in data_project.emitted][-2:] == [
        ("default", "public", "sample")
    ] * 2
    assert data_project.bench.count("sample") == 100


def test_the_pipeline_lands_the_sample_in_an_empty_database(data_project: Project) -> None:
    """Only the dataset's name: file to parquet to valid rows to a table made for it."""
    result = data_project.run("pipeline", {"dataset": "sample"})
    assert (result["rows"], result["load"]["strategy"]) == (100, "create")
    assert data_project.bench.rows(
        "SELECT count(*), min(id), max(id), min(value) >= 0 FROM sample",
    ) == [(100, 1, 100, True)]
    assert [made.asset for made in data_project.emitted] == [
        ("sample", "parquet"),
        ("sample", "valid"),
        ("default", "public", "sample"),
    ]
    table = data_project.emitted[-1]
    assert table.metadata["dagster/row_count"] == 100
    assert table.metadata["table"] == "default.public.sample"
    assert dict(table.columns) == {"id": "bigint", "name": "text", "value": "double precision"}
    assert [check.name for check in table.checks] == ["rows_landed"]


def test_the_manifest_knows_the_users_file_not_the_intermediate(data_project: Project) -> None:
    """source_sha256 is of the CSV's bytes."""
    data_project.run("pipeline", {"dataset": "sample"})
    expected = hashlib.sha256((data_project.root / "data/raw/sample.csv").read_bytes()).hexdigest()
    assert data_project.bench.value("SELECT source_sha256 FROM jobu_loads") == expected


def test_a_second_execution_replaces_the_table(data_project: Project) -> None:
    """The demo run twice leaves the same hundred rows."""
    data_project.run("pipeline", {"dataset": "sample"})
    again = data_project.run("pipeline", {"dataset": "sample"}, execution_id=2)
    assert (again["rows"], again["load"]["strategy"]) == (100, "swap")
    assert data_project.bench.count("sample") == 100


def test_a_later_attempt_reuses_finished_stages(data_project: Project) -> None:
    """What an attempt published before it died is not made again, and that is said."""
    params = {"dataset": "sample"}
    first = dict(data_project.stage("preprocess", params, {}))
    assert "reused" not in first["preprocess"]
    second = dict(data_project.stage("preprocess", params, {}, attempt=2))
    assert second["preprocess"]["reused"] is True
    assert {"event": "stage output reused", "stage": "preprocess"}.items() <= data_project.log[
        -1
    ].items()
    retried = data_project.stage("preprocess", params, {}, execution_id=9, root_execution_id=1)
    assert retried["preprocess"]["reused"] is True
    other = data_project.stage("preprocess", params, {}, execution_id=10)
    assert "reused" not in other["preprocess"]


def test_changed_input_or_params_are_not_reused(data_project: Project) -> None:
    """The fingerprint covers the input's bytes and every param."""
    data_project.stage("preprocess", {"dataset": "sample"}, {})
    filtered = data_project.stage(
        "preprocess", {"dataset": "sample", "filters": {"id": {"lte": 5}}}, {}, attempt=2
    )
    assert filtered["rows"] == 5
    data_project.write("raw/sample.csv", "id,name,value\n1,a,1\n")
    changed = data_project.stage("preprocess", {"dataset": "sample"}, {}, attempt=3)
    assert changed["rows"] == 1


def test_an_unpublished_output_is_never_read(data_project: Project) -> None:
    """A Parquet without its rename, or half written, is made again."""
    done = data_project.stage("preprocess", {"dataset": "sample"}, {})
    path = data_project.root / done["preprocess"]["file"]
    path.rename(path.with_suffix(".half"))
    again = data_project.stage("preprocess", {"dataset": "sample"}, {}, attempt=2)
    assert "reused" not in again["preprocess"]
    assert path.is_file()


def test_intermediate_files_go_once_they_are_loaded(data_project: Project) -> None:
    """What jobu made for itself is removed; what the user named is kept."""
    kept = "/data/kept/valid.parquet"
    data_project.run("pipeline", {"dataset": "sample", "valid_path": kept})
    assert (data_project.root / "data/kept/valid.parquet").is_file()
    assert list((data_project.root / ".jobu").rglob("*.parquet")) == []


def test_only_files_of_jobus_own_are_lz4(data_project: Project) -> None:
    """What a user named is compressed as every reader of Parquet understands it."""
    params = {"dataset": "sample", "output_path": PARQUET}
    done = data_project.stage("preprocess", params, {})
    checked = data_project.stage("validate", params, done)
    for told, expected in ((done["preprocess"], "SNAPPY"), (checked["validate"], "LZ4")):
        with pq.ParquetFile(told["file"]) as file:
            assert file.metadata.row_group(0).column(0).compression == expected


def test_the_pipeline_counts_what_the_validator_rejected(data_project: Project) -> None:
    """Rejects reach the result, the check and the manifest."""
    data_project.write("raw/mixed.csv", "id,name,value\n1,a,1\n2,b,-1\n3,c\n4,d,4\n")
    result = data_project.run(
        "pipeline", {"dataset": "sample", "input_path": "/data/raw/mixed.csv"}
    )
    assert result["rows"] == 2
    assert data_project.bench.value("SELECT rejected FROM jobu_loads") == 2


def test_an_older_replace_tells_its_reason(data_project: Project) -> None:
    """A stale replace ends well, with the reason on top, and materializes no table."""
    data_project.run("pipeline", {"dataset": "sample"})
    data_project.emitted.clear()
    late = data_project.run(
        "pipeline", {"dataset": "sample"}, execution_id=2, effective_time=NOON - timedelta(hours=1)
    )
    assert late["reason"] == "stale_replace"
    assert ("default", "public", "sample") not in [made.asset for made in data_project.emitted]


def test_a_free_table_is_loaded_but_not_made(data_project: Project) -> None:
    """free_tables allow a table; it is created only on request."""
    pq.write_table(items(3), data_project.write("x.parquet", ""))
    params = {"input_path": "/data/x.parquet", "target_table": "public.scratch_1"}
    with pytest.raises(SchemaMismatch, match="does not exist"):
        data_project.run("db_loader", params)
    assert data_project.run("db_loader", params | {"create": True})["rows"] == 3
    assert data_project.emitted[-1].asset == ("db_loader",)


def test_truncate_before_is_a_replace(data_project: Project) -> None:
    """The older name of mode replace still works."""
    pq.write_table(items(3), data_project.write("x.parquet", ""))
    params = {"input_path": "/data/x.parquet", "target_table": "scratch_1", "create": True}
    data_project.run("db_loader", params)
    again = data_project.run("db_loader", params | {"truncate_before": True}, execution_id=2)
    assert (again["mode"], data_project.bench.count("scratch_1")) == ("replace", 3)


def test_text_of_a_csv_does_not_slip_into_typed_columns(data_project: Project) -> None:
    """Unvalidated text is refused by a table of numbers, with the types named."""
    data_project.bench.run("CREATE TABLE sample (id bigint, name text, value double precision)")
    data_project.run("pandas_preprocess", {"input_path": RAW, "output_path": PARQUET})
    with pytest.raises(SchemaMismatch, match="'id' is string in the file and bigint"):
        data_project.run("db_loader", {"dataset": "sample", "input_path": PARQUET})


@pytest.mark.parametrize(
    ("handler", "params", "message"),
    [
        ("pipeline", {"dataset": "sampel"}, "did you mean 'sample'"),
        ("pipeline", {"dataset": "sample", "model": "Sample"}, "no model named 'Sample'"),
        ("pipeline", {"input_path": RAW}, "target_table: needed unless dataset"),
        ("pipeline", {"dataset": "sample", "filters": {"id": {"above": 1}}}, "no such operator"),
        ("pipeline", {"dataset": "sample", "outptu_path": "x"}, "did you mean 'output_path'"),
        ("pandas_preprocess", {"input_path": RAW}, "output_path: needed"),
        ("pandas_preprocess", {"output_path": PARQUET}, "input_path: needed"),
        (
            "pandas_preprocess",
            {"input_path": RAW, "output_path": PARQUET, "types": {"id": "integer"}},
            "no column type",
        ),
        ("pydantic_validator", {}, "input_path: needed unless data"),
        ("pydantic_validator", {"data": [], "input_path": RAW}, "give one of them"),
        ("db_loader", {"input_path": PARQUET}, "target_table: needed"),
        (
            "db_loader",
            {"input_path": PARQUET, "target_table": "public.secret"},
            "not the target of a dataset",
        ),
        (
            "db_loader",
            {"input_path": PARQUET, "target_table": "public.job_executions"},
            "can never be a target",
        ),
        (
            "db_loader",
            {
                "input_path": PARQUET,
                "target_table": "scratch_1",
                "mode": "append",
                "truncate_before": True,
            },
            "truncate_before",
        ),
        ("db_loader", {"input_path": PARQUET, "target_db": "dw"}, "target_db needs target_table"),
        ("db_loader", {"dataset": "sample", "input_path": PARQUET, "max_shrink": 2}, "max_shrink"),
    ],
)
def test_params_that_cannot_work_are_refused_at_dispatch(
    data_project: Project, handler: str, params: dict[str, object], message: str
) -> None:
    """Bad params are known before a run is launched."""
    with pytest.raises(InvalidParams, match=message):
        data_project.registry.validate(handler, params)


@pytest.mark.parametrize(
    ("handler", "params"),
    [
        ("pipeline", {"dataset": "sample", "mode": "upsert"}),
        ("pipeline", {"dataset": "sample", "keys": ["id"]}),
        ("db_loader", {"dataset": "sample", "input_path": PARQUET, "load_key": "content"}),
    ],
)
def test_values_of_a_later_version_say_so(
    data_project: Project, handler: str, params: dict[str, object]
) -> None:
    """What is documented but not delivered is refused, never ignored."""
    with pytest.raises(NotAvailableYet, match="not available yet"):
        data_project.registry.validate(handler, params)


def test_paths_outside_the_roots_are_refused(data_project: Project) -> None:
    """Neither input nor output leaves the data roots."""
    for params in (
        {"input_path": "/etc/passwd", "output_path": PARQUET},
        {"input_path": RAW, "output_path": "/etc/out.parquet"},
        {"input_path": "/data/../secret.csv", "output_path": PARQUET},
    ):
        with pytest.raises(PathRefused):
            data_project.run("pandas_preprocess", params)


def test_an_unknown_database_is_told_with_the_known_ones(bench: Bench) -> None:
    """A dataset may name a database that this process has no URL of."""
    elsewhere = DatasetSettings(input=RAW, model="SampleRecord", target="dw.public.sample")
    elsewhere_too = make_project(bench, elsewhere=elsewhere)
    with pytest.raises(InvalidParams, match="no database 'dw'; there are: default"):
        elsewhere_too.run("pipeline", {"dataset": "elsewhere"})


def test_errors_of_the_database_do_not_repeat_cells(data_project: Project) -> None:
    """A value that breaks a constraint stays out of the message."""
    data_project.bench.run(
        "CREATE TABLE sample (id bigint, name text CHECK (name <> 'tell nobody'), value float8)",
    )
    data_project.write("raw/sample.csv", "id,name,value\n1,tell nobody,1\n")
    with pytest.raises(DataError) as caught:
        data_project.run("pipeline", {"dataset": "sample"})
    assert "tell nobody" not in str(caught.value)


def test_sample_handler_echoes(data_project: Project) -> None:
    """The first event of a new installation comes back as its result."""
    assert data_project.run("sample_handler", {"key": "value"}) == {"echo": {"key": "value"}}


def test_a_damaged_parquet_is_a_file_error(data_project: Project) -> None:
    """Bytes that are no Parquet are told by the file's logical name."""
    data_project.write("x.parquet", "not parquet")
    with pytest.raises(FileError, match=r"/data/x\.parquet"):
        data_project.run(
            "db_loader",
            {"input_path": "/data/x.parquet", "target_table": "scratch_1", "create": True},
        )


def test_somebody_elses_parquet_is_loaded(data_project: Project) -> None:
    """A file without jobu's footer counts as its own source."""
    table = pa.table({"id": pa.array([1], pa.int64())})
    path = data_project.write("x.parquet", "")
    pq.write_table(table, path)
    data_project.run(
        "db_loader", {"input_path": "/data/x.parquet", "target_table": "scratch_1", "create": True}
    )
    assert data_project.bench.value("SELECT length(source_sha256) FROM jobu_loads") == 64
