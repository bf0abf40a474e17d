"""A process that dies while an object is fetched, or between a finished file and its object."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from jobu_core.models import Status
from tests.crash.audit import audit, audit_loads
from tests.crash.cases import Case
from tests.crash.children import die
from tests.crash.site import Site, execute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fix_aftermath import Aftermath
    from tests.fix_s3 import S3

INPUT = b"id,name,value\n1,one,1.5\n2,,nothing\n3,three,3.5\n"
OLD = b"what was there before"

POINTS = (
    Case("place.fetched", (14, 15)),
    Case("place.drafted", (14, 15)),
    Case("place.put", (14, 15)),
    Case("place.drafted", (14, 15), visit=2),
    Case("place.put", (14, 15), visit=2),
    Case("place.drafted", (14, 15), visit=3),
    Case("place.put", (14, 15), visit=3),
)
"""The pipeline puts three objects: the preprocessed rows, the rejects, the valid rows."""
KEYS = ("out/three.parquet", "out/valid.rejects.parquet", "out/valid.parquet")


@contextmanager
def with_bucket(aftermath: Aftermath, s3: S3) -> Iterator[Aftermath]:
    """Let every process of a case reach the bucket, the one that lives on, too."""
    site = Site(aftermath.site.url, aftermath.site.root, buckets={s3.bucket: s3.settings()})
    with site.opened() as runtime:
        aftermath.site = site
        aftermath.runtime = replace(aftermath.runtime, paths=runtime.paths)
        yield aftermath


@pytest.mark.parametrize("case", POINTS, ids=lambda case: f"{case.point}-{case.visit}")
def test_an_object_is_the_old_one_or_the_new_one(aftermath: Aftermath, s3: S3, case: Case) -> None:
    """Whoever reads a key never sees half of anything; the next attempt puts all of it."""
    s3.put("raw/three.csv", INPUT)
    for key in KEYS:
        s3.put(key, OLD)
    params = {
        "dataset": "sample",
        "max_errors": 1,
        "input_path": s3.url("raw/three.csv"),
        "output_path": s3.url("out/three.parquet"),
        "valid_path": s3.url("out/valid.parquet"),
    }
    with with_bucket(aftermath, s3):
        batch = aftermath.launched("pipeline", params=params)
        die(case, execute, aftermath.site, batch)
        put = {"place.fetched": 0, "place.drafted": case.visit - 1}.get(case.point, case.visit)
        assert [s3.get(key) != OLD for key in KEYS] == [at < put for at in range(len(KEYS))]
        aftermath.settle()
        (row,) = aftermath.rows(batch)
    assert (row.status, row.attempt) == (Status.SUCCESS, 2)
    found = [pq.ParquetFile(io.BytesIO(s3.get(key))).metadata.num_rows for key in KEYS]
    assert found == [3, 2, 2]
    audit(aftermath.runtime.engine)
    audit_loads(aftermath.site.url, "public.sample")
    assert aftermath.target.count("sample") == 2


STREAM = (
    Case("place.put", (14, 15)),
    Case("place.drafted", (14, 15), visit=2),
    Case("place.put", (14, 15), visit=2),
)
"""A fused pipeline puts the rejects and the valid rows, and commits the load after them."""


@pytest.mark.parametrize("case", STREAM, ids=lambda case: f"{case.point}-{case.visit}")
def test_a_stream_puts_its_objects_before_it_commits(
    aftermath: Aftermath, s3: S3, case: Case
) -> None:
    """A death between the two leaves objects without a load, never a load without objects."""
    s3.put("raw/three.csv", INPUT)
    params = {
        "dataset": "sample",
        "fused": True,
        "max_errors": 1,
        "input_path": s3.url("raw/three.csv"),
        "valid_path": s3.url("out/valid.parquet"),
    }
    with with_bucket(aftermath, s3):
        batch = aftermath.launched("pipeline", params=params)
        die(case, execute, aftermath.site, batch)
        put = [key for key in KEYS if key in s3.names()]
        assert put == list(KEYS[1:][: case.visit - (case.point == "place.drafted")])
        assert not aftermath.target.value("SELECT to_regclass('sample') IS NOT NULL")
        aftermath.settle()
        (row,) = aftermath.rows(batch)
    assert (row.status, row.attempt) == (Status.SUCCESS, 2)
    assert pq.ParquetFile(io.BytesIO(s3.get(KEYS[2]))).metadata.num_rows == 2
    audit(aftermath.runtime.engine)
    audit_loads(aftermath.site.url, "public.sample")
    assert aftermath.target.count("sample") == 2
