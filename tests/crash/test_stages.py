"""A process that dies between the stages of a pipeline, or between the files of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from jobu_core.models import Status
from tests.crash.audit import audit, audit_loads
from tests.crash.cases import Case
from tests.crash.children import die
from tests.crash.site import execute
from tests.load_bench import items

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fix_aftermath import Aftermath

INPUT = "id,name,value\n1,one,1.5\n2,,nothing\n3,three,3.5\n"
PARAMS = {"dataset": "sample", "input_path": "/data/raw/three.csv", "max_errors": 1}
"""Two rows that are valid and one that is not."""


@dataclass(frozen=True)
class StageCase(Case):
    """A death in the pipeline, and what the next attempt finds done."""

    reused: tuple[str, ...] = ()
    loaded: bool = False


STAGES = (
    StageCase("parquet.written", (14, 15)),
    StageCase("parquet.renamed", (14, 15)),
    StageCase("stage.report_published", (14, 15)),
    StageCase("stage.published", (14, 15), reused=("preprocess",)),
    StageCase("attempt.stage_done", (14, 15), reused=("preprocess",)),
    StageCase("parquet.written", (14, 15), visit=2, reused=("preprocess",)),
    StageCase("parquet.renamed", (14, 15), visit=3, reused=("preprocess",)),
    StageCase("stage.rejects_published", (14, 15), reused=("preprocess",)),
    StageCase("stage.report_published", (14, 15), visit=2, reused=("preprocess",)),
    StageCase("stage.published", (14, 15), visit=2, reused=("preprocess", "validate")),
    StageCase("attempt.stage_done", (14, 15), visit=2, reused=("preprocess", "validate")),
    StageCase("load.committed", (11, 14), reused=("preprocess", "validate"), loaded=True),
    StageCase("pipeline.loaded", (11, 14), reused=("preprocess", "validate"), loaded=True),
    StageCase("pipeline.file_forgotten", (11, 14), reused=("validate",), loaded=True),
    StageCase("pipeline.file_forgotten", (11, 14), visit=2, loaded=True),
    StageCase("attempt.stage_done", (11, 14), visit=3, loaded=True),
)


@pytest.mark.parametrize("case", STAGES, ids=lambda case: f"{case.point}-{case.visit}")
def test_a_pipeline_that_dies_goes_on_where_it_was(aftermath: Aftermath, case: StageCase) -> None:
    """What was published whole is used again, what was not is made again; one load."""
    (aftermath.site.root / "data" / "raw" / "three.csv").write_text(INPUT)
    batch = aftermath.launched("pipeline", params=PARAMS)
    die(case, execute, aftermath.site, batch)
    aftermath.settle()
    (row,) = aftermath.rows(batch)
    assert (row.status, row.attempt) == (Status.SUCCESS, 2)
    assert isinstance(row.result, dict)
    told = row.result
    reused = tuple(stage for stage in ("preprocess", "validate") if told[stage].get("reused"))
    assert reused == case.reused
    assert told["load"]["outcome"] == ("already_loaded" if case.loaded else "loaded")
    assert (told["validate"]["rows"], told["validate"]["rejected"]) == (2, 1)
    assert left_over(aftermath.site.root) == []
    audit(aftermath.runtime.engine)
    audit_loads(aftermath.site.url, "public.sample")
    assert aftermath.target.count("sample") == 2


def left_over(root: Path) -> list[str]:
    """Return the outputs of stages that nobody will read again."""
    kept = (root / ".jobu" / "work").glob("*/stages/*.parquet")
    return [path.name for path in kept if not path.name.endswith(".rejects.parquet")]


OUTPUTS = (
    StageCase("parquet.written", (14,)),
    StageCase("parquet.renamed", (14,)),
)


@pytest.mark.parametrize("case", OUTPUTS, ids=lambda case: case.point)
def test_an_output_is_the_old_file_or_the_new_one(aftermath: Aftermath, case: StageCase) -> None:
    """Whoever reads what a user named never sees half a file."""
    data = aftermath.site.root / "data"
    (data / "raw" / "three.csv").write_text(INPUT)
    pq.write_table(items(1), data / "out.parquet")
    params = {"input_path": "/data/raw/three.csv", "output_path": "/data/out.parquet"}
    batch = aftermath.launched("pandas_preprocess", params=params)
    die(case, execute, aftermath.site, batch)
    seen = pq.read_table(data / "out.parquet").num_rows
    assert seen == (1 if case.point == "parquet.written" else 3)
    aftermath.settle()
    assert pq.read_table(data / "out.parquet").num_rows == 3
    audit(aftermath.runtime.engine)
