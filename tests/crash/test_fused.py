"""A process that dies in a fused pipeline: no load without its file, no file that is half one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobu_core.models import Status
from tests.crash.audit import audit, audit_loads
from tests.crash.cases import Case
from tests.crash.children import die
from tests.crash.site import execute
from tests.crash.test_stages import left_over

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fix_aftermath import Aftermath

INPUT = "id,name,value\n1,one,1.5\n2,,nothing\n3,three,3.5\n4,four\n"
"""Two valid rows, one that is not, and one that is ragged."""
PARAMS: dict[str, Any] = {
    "dataset": "sample",
    "input_path": "/data/raw/four.csv",
    "max_errors": 2,
    "fused": True,
}


@dataclass(frozen=True)
class FusedCase(Case):
    """A death in the stream, and what was to be seen after it."""

    file: bool = True
    """Whether the Parquet lay where it belongs."""
    loaded: bool = False


FUSED = (
    FusedCase("load.claimed", (11, 14), file=False),
    FusedCase("copy.slice_sent", (11, 14), file=False),
    FusedCase("copy.ended", (11, 14), file=False),
    FusedCase("parquet.written", (11, 14), file=False),
    FusedCase("parquet.renamed", (11, 14), visit=2, file=False),
    FusedCase("parquet.written", (11, 14), visit=3, file=False),
    FusedCase("fused.outputs_written", (11, 14), file=False),
    FusedCase("fused.output_moved", (11, 14), file=False),
    FusedCase("fused.output_moved", (11, 14), visit=2, file=False),
    FusedCase("fused.output_moved", (11, 14), visit=3),
    FusedCase("swap.filled", (11, 14)),
    FusedCase("swap.granted", (11, 14)),
    FusedCase("load.manifest_finished", (11, 14)),
    FusedCase("load.committed", (11, 14), loaded=True),
    FusedCase("fused.loaded", (11, 14), loaded=True),
    FusedCase("fused.file_forgotten", (11, 14), file=False, loaded=True),
    FusedCase("attempt.work_ended", (11, 14), file=False, loaded=True),
)


@pytest.mark.parametrize("case", FUSED, ids=lambda case: f"{case.point}-{case.visit}")
def test_a_fused_pipeline_that_dies_loads_once(aftermath: Aftermath, case: FusedCase) -> None:
    """The next attempt starts again, or finds the load committed; rejects are told either way."""
    root = aftermath.site.root
    (root / "data" / "raw" / "four.csv").write_text(INPUT)
    _make_table(aftermath)
    batch = aftermath.launched("pipeline", params=PARAMS)
    die(case, execute, aftermath.site, batch)
    assert aftermath.target.rows("SELECT id FROM sample ORDER BY id") == (
        [(1,), (3,)] if case.loaded else [(-1,)]
    )
    assert [pq.read_metadata(path).num_rows for path in _kept(root)] == [2] * case.file
    aftermath.settle()
    (row,) = aftermath.rows(batch)
    assert (row.status, row.attempt) == (Status.SUCCESS, 2)
    assert isinstance(row.result, dict)
    told = row.result
    assert told["load"]["outcome"] == ("already_loaded" if case.loaded else "loaded")
    assert (told["rows"], told["load"]["rejected"]) == (2, 2)
    for stage, number in (("preprocess", 4), ("validate", 2)):
        (rejected,) = root.glob(f".jobu/work/*/stages/{told[stage]['rejects_path']}")
        assert {each["row_number"] for each in pq.read_table(rejected).to_pylist()} == {number}
    assert left_over(root) == []
    assert aftermath.target.rows("SELECT id FROM sample ORDER BY id") == [(1,), (3,)]
    audit(aftermath.runtime.engine)
    audit_loads(aftermath.site.url, "public.sample")


NAMED = (
    FusedCase("parquet.written", (11, 14), visit=3, file=False),
    FusedCase("parquet.renamed", (11, 14), visit=3),
    FusedCase("load.committed", (11, 14), loaded=True),
)


@pytest.mark.parametrize("case", NAMED, ids=lambda case: f"{case.point}-{case.visit}")
def test_a_parquet_that_a_user_named_is_the_old_or_the_new_one(
    aftermath: Aftermath, case: FusedCase
) -> None:
    """It is whole before the rows are committed, and stays."""
    root = aftermath.site.root
    (root / "data" / "raw" / "four.csv").write_text(INPUT)
    valid = root / "data" / "valid.parquet"
    pq.write_table(pa.table({"old": [1]}), valid)
    _make_table(aftermath)
    params = PARAMS | {"valid_path": "/data/valid.parquet"}
    batch = aftermath.launched("pipeline", params=params)
    die(case, execute, aftermath.site, batch)
    assert pq.read_metadata(valid).num_rows == (2 if case.file else 1)
    assert aftermath.target.count("sample") == (2 if case.loaded else 1)
    aftermath.settle()
    (row,) = aftermath.rows(batch)
    assert row.status is Status.SUCCESS
    assert not list(valid.parent.glob(".jobu-*"))
    assert pq.read_metadata(valid).num_rows == aftermath.target.count("sample") == 2
    audit(aftermath.runtime.engine)


def _make_table(aftermath: Aftermath) -> None:
    aftermath.target.run(
        "CREATE TABLE sample (id bigint, name text, value double precision)",
        "INSERT INTO sample VALUES (-1, 'old', 0)",
    )


def _kept(root: Path) -> list[Path]:
    return [
        path
        for path in root.glob(".jobu/work/*/stages/*.parquet")
        if not path.name.endswith(".rejects.parquet")
    ]
