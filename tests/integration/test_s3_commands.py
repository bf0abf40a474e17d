"""Commands that are given an object in S3, as typed, on a real store."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from jobu_admin.cli import build_app
from jobu_core.config import load_settings
from jobu_core.errors import FileError, PathRefused
from jobu_core.models import Status
from jobu_core.pipeline.paths import Paths
from jobu_core.services.doctor import examine
from tests.reload_bench import Reloading

if TYPE_CHECKING:
    from typer.testing import Result

    from tests.fix_aftermath import Aftermath
    from tests.fix_s3 import S3, CuttingProxy

CONFIG = Path(__file__).resolve().parents[2] / "config"
FILE = b"id,name,value\n1,a,1\nx,b,2\n3,c,-3\n"


@pytest.fixture
def loading(aftermath: Aftermath, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Reloading:
    """Return a system with a bucket, whose project the commands find."""
    site = aftermath.site
    shutil.copytree(CONFIG, site.root / "config")
    monkeypatch.setenv("JOBU_ROOT", str(site.root))
    monkeypatch.setenv("JOBU_STACK", "external")
    monkeypatch.setenv("JOBU_DATABASE_URL", site.url)
    monkeypatch.setenv("JOBU_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.syspath_prepend(str(site.root))
    paths = Paths({"/data": "data"}, site.root, s3.buckets())
    aftermath.runtime = replace(aftermath.runtime, paths=paths)
    configure(site.root, s3)
    s3.put("raw/orders.csv", FILE)
    return Reloading(aftermath)


def configure(root: Path, s3: S3, **changes: object) -> None:
    """Write the bucket into handlers.yaml."""
    bucket = s3.settings().model_dump(mode="json", exclude_defaults=True)
    bucket |= {"secret_key": s3.settings().secret_key.get_secret_value()} | changes
    text = yaml.safe_dump({"handlers": {}, "s3_buckets": {s3.bucket: bucket}})
    (root / "config" / "handlers.yaml").write_text(text, encoding="utf-8")


def run(*arguments: object) -> Result:
    """Run ``jobu`` in this process."""
    return CliRunner().invoke(build_app(), [str(each) for each in arguments])


def told(*arguments: object) -> Any:  # noqa: ANN401 - JSON's own shapes
    """Return what ``--json`` printed."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_dataset_is_made_from_an_object_and_tried(loading: Reloading, s3: S3) -> None:
    """The way of a new user, with the file in a bucket."""
    url = s3.url("raw/orders.csv")
    found = told("datasets", "init", url, "--name", "lake_orders")
    assert found["dataset"] == "lake_orders"
    assert found["rows"] == 3
    declared = yaml.safe_load((loading.folder / "config" / "datasets.yaml").read_text())
    assert declared["datasets"]["lake_orders"]["input"].startswith(f"s3://{s3.bucket}/raw/")
    tried = told("datasets", "try", url)
    assert (tried["dataset"], tried["source"], tried["rows"]) == ("lake_orders", url, 3)


def test_an_object_without_a_dataset_is_tried(loading: Reloading, s3: S3) -> None:
    """As a file would be, by what init would write."""
    del loading
    tried = told("datasets", "try", s3.url("raw/orders.csv"))
    assert (tried["dataset"], tried["rows"]) == ("orders", 3)


def test_an_object_that_is_not_there_is_named(loading: Reloading, s3: S3) -> None:
    """And one of another bucket is refused, with those that are allowed."""
    del loading
    missing = run("datasets", "try", s3.url("raw/none.csv")).exception
    assert isinstance(missing, FileError)
    assert "raw/none.csv: no such object" in str(missing)
    other = run("datasets", "init", "s3://other/raw/orders.csv").exception
    assert isinstance(other, PathRefused)
    assert s3.bucket in str(other)


def test_rejects_of_an_object_are_corrected_and_loaded(loading: Reloading, s3: S3) -> None:
    """The corrected rows go beside the object, and load once."""
    first = loading.run(
        handler_name="pipeline",
        params={
            "dataset": "sample",
            "input_path": s3.url("raw/orders.csv"),
            "rejects_path": s3.url("out/rejects.parquet"),
        },
    )
    assert first.status is Status.SUCCESS
    for reference in (first.id, s3.url("out/rejects.parquet")):
        assert [each["row_number"] for each in told("rejects", "show", reference)] == [2, 3]
    output = loading.folder / "fix.csv"
    assert told("rejects", "export", first.id, output)["rows"] == 2
    text = output.read_text(encoding="utf-8").replace('"x"', '"2"').replace("-3", "3")
    output.write_text(text, encoding="utf-8")
    (made,) = told("rejects", "reload", first.id, output)["executions"]
    assert [name for name in s3.names() if name.startswith("raw/.jobu-reloads/")]
    assert loading.settled(made).status is Status.SUCCESS
    assert loading.table == [(1, "a", 1), (2, "b", 2), (3, "c", 3)]
    assert told("rejects", "reload", first.id, output)["executions"] == []


def bucket_finding(s3: S3, *, write: bool = False) -> tuple[bool, str]:
    """Return what the doctor says of the bucket."""
    found = {each.check: each for each in examine(load_settings(), write_buckets=write)}
    finding = found[f"bucket {s3.bucket}"]
    return finding.ok, finding.found


def test_the_doctor_looks_at_buckets(loading: Reloading, s3: S3, s3_proxy: CuttingProxy) -> None:
    """Written to only if asked; what is wrong is a finding, with no secret in it."""
    assert bucket_finding(s3) == (True, "can be read")
    assert s3.names() == ["raw/orders.csv"]
    configure(loading.folder, s3, prefixes=["raw/", "out/"])
    assert bucket_finding(s3, write=True) == (True, "can be read and written")
    assert s3.names() == ["out/.jobu-doctor", "raw/.jobu-doctor", "raw/orders.csv"]
    s3_proxy.refuse()
    configure(loading.folder, s3, endpoint_url=s3_proxy.endpoint)
    ok, said = bucket_finding(s3)
    assert not ok
    assert "NETWORK_CONNECTION" in said
    s3.client.delete_object(Bucket=s3.bucket, Key="raw/orders.csv")
    for key in s3.names():
        s3.client.delete_object(Bucket=s3.bucket, Key=key)
    s3.client.delete_bucket(Bucket=s3.bucket)
    configure(loading.folder, s3)
    assert bucket_finding(s3) == (False, f"s3://{s3.bucket}: there is no bucket {s3.bucket}")
