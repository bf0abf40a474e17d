"""Objects in S3 while the network fails, others write, or the process is asked to stop."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from jobu_core.errors import FileError, Outage, StorageUnavailable
from jobu_core.execution.interrupts import Stopped
from jobu_core.pipeline.places import s3_object
from jobu_core.store.transitions import Lease
from tests.load_bench import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pyarrow import NativeFile

    from jobu_core.pipeline.places.s3_object import S3Object
    from tests.fix_s3 import S3, CuttingProxy

OLD = b"the old bytes"
LARGE = bytes(range(251)) * 100_000
"""25.1 MB: three parts of an upload, four ranges of a download."""


def fetch(place: S3Object, folder: Path) -> bytes:
    """Read an object as a stage does."""
    with place.opened(folder) as path:
        return path.read_bytes()


def publish(place: S3Object, folder: Path, data: bytes) -> None:
    """Write an object as a stage does."""
    with place.draft(folder) as draft:
        draft.write_bytes(data)
        place.publish(draft)


@pytest.fixture
def through(s3: S3, s3_proxy: CuttingProxy) -> S3Object:
    """Return an object that jobu reaches by way of the proxy."""
    buckets = s3.buckets(endpoint_url=s3_proxy.endpoint, request_timeout_seconds=1)
    return buckets.place(s3.url("data/x.bin"))


def test_a_download_that_is_cut_is_an_outage(
    s3: S3, s3_proxy: CuttingProxy, through: S3Object, tmp_path: Path
) -> None:
    """It is tried again later, and no part of a copy stays."""
    s3.put("data/x.bin", LARGE)
    s3_proxy.cut_answers_after(12 << 20)
    with pytest.raises(StorageUnavailable, match=r"data/x\.bin: GetObject failed"):
        fetch(through, tmp_path)
    assert s3_proxy.cuts
    assert not list(tmp_path.iterdir())
    s3_proxy.accept()
    assert fetch(through, tmp_path) == LARGE


def test_a_server_that_is_gone_is_an_outage(
    s3_proxy: CuttingProxy, through: S3Object, tmp_path: Path
) -> None:
    """Reading, writing and looking say so, within the limits that are configured."""
    s3_proxy.refuse()
    begun = time.monotonic()
    for act in (
        through.exists,
        lambda: fetch(through, tmp_path),
        lambda: publish(through, tmp_path, OLD),
    ):
        with pytest.raises(StorageUnavailable, match="NETWORK_CONNECTION"):
            act()
    assert time.monotonic() - begun < 30
    assert not list(tmp_path.iterdir())


def test_a_server_that_says_nothing_is_an_outage(
    s3: S3, s3_proxy: CuttingProxy, through: S3Object, tmp_path: Path
) -> None:
    """A connection that is open and silent does not hold an attempt for ever."""
    s3.put("data/x.bin", OLD)
    s3_proxy.stall()
    with pytest.raises(StorageUnavailable):
        fetch(through, tmp_path)
    s3_proxy.flow()
    assert fetch(through, tmp_path) == OLD


@pytest.mark.parametrize(
    "cut", [b"?uploads", b"partNumber=1", b"partNumber=2", b"partNumber=3"], ids=bytes.decode
)
def test_an_upload_that_is_cut_changes_nothing(
    s3: S3, s3_proxy: CuttingProxy, through: S3Object, tmp_path: Path, cut: bytes
) -> None:
    """What is there is the old object, also after everything was cleared away."""
    s3.put("data/x.bin", OLD)
    s3_proxy.cut_at(cut)
    with pytest.raises(StorageUnavailable):
        publish(through, tmp_path, LARGE)
    assert s3_proxy.cuts
    s3_proxy.accept()
    gc.collect()
    assert s3.get("data/x.bin") == OLD
    publish(through, tmp_path, LARGE)
    assert s3.get("data/x.bin") == LARGE


def test_an_upload_whose_last_word_is_lost_is_tried_again(
    s3: S3, s3_proxy: CuttingProxy, through: S3Object, tmp_path: Path
) -> None:
    """Whether the server heard it or not: whole, or the old one."""
    s3.put("data/x.bin", OLD)
    s3_proxy.cut_at(b"<CompleteMultipartUpload")
    with pytest.raises(StorageUnavailable):
        publish(through, tmp_path, LARGE)
    assert s3_proxy.cuts
    assert s3.get("data/x.bin") in {OLD, LARGE}


@pytest.fixture
def between_ranges(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Return what lets something happen once, after the first range of a download."""

    def arrange(act: Callable[[], object]) -> None:
        real = s3_object._read_at
        acts = [act]

        def read_at(source: NativeFile, count: int, at: int) -> bytes:
            data = real(source, count, at)
            while acts:
                acts.pop()()
            return data

        monkeypatch.setattr(s3_object, "_read_at", read_at)
        monkeypatch.setattr(s3_object, "_READERS", 1)

    return arrange


@pytest.mark.parametrize("size", [len(LARGE), 1, len(LARGE) * 2], ids=["same", "less", "more"])
def test_an_object_that_changes_meanwhile_is_refused(
    s3: S3,
    tmp_path: Path,
    between_ranges: Callable[[Callable[[], object]], None],
    size: int,
) -> None:
    """The head of one version and the end of another are no file of anybody."""
    s3.put("data/x.bin", LARGE)
    between_ranges(lambda: s3.put("data/x.bin", b"x" * size))
    place = s3.buckets().place(s3.url("data/x.bin"))
    with pytest.raises(FileError, match=r"data/x\.bin: changed while it was read"):
        fetch(place, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_object_that_goes_meanwhile_is_refused(
    s3: S3, tmp_path: Path, between_ranges: Callable[[Callable[[], object]], None]
) -> None:
    """It is the same as a change."""
    s3.put("data/x.bin", LARGE)
    between_ranges(lambda: s3.client.delete_object(Bucket=s3.bucket, Key="data/x.bin"))
    with pytest.raises(FileError, match="changed while it was read"):
        fetch(s3.buckets().place(s3.url("data/x.bin")), tmp_path)


def test_the_same_bytes_written_again_are_another_version(
    s3: S3, tmp_path: Path, between_ranges: Callable[[Callable[[], object]], None]
) -> None:
    """In a bucket that keeps versions even a change there and back is seen."""
    s3.client.put_bucket_versioning(Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put("data/x.bin", LARGE)

    def there_and_back() -> None:
        s3.put("data/x.bin", b"x" * len(LARGE))
        s3.put("data/x.bin", LARGE)

    between_ranges(there_and_back)
    with pytest.raises(FileError, match="changed while it was read"):
        fetch(s3.buckets().place(s3.url("data/x.bin")), tmp_path)


def test_an_object_that_somebody_else_wrote_over_is_told(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read back is not what was written, and the run must not say that it is."""
    real = s3_object.S3Object._put

    def put_and_lose(place: S3Object, draft: Path) -> None:
        real(place, draft)
        s3.put("data/x.bin", OLD)

    monkeypatch.setattr(s3_object.S3Object, "_put", put_and_lose)
    with pytest.raises(FileError, match="is not there as it was written"):
        publish(s3.buckets().place(s3.url("data/x.bin")), tmp_path, b"new bytes....")


def test_a_missing_bucket_is_named(s3: S3, tmp_path: Path) -> None:
    """It is another thing to correct than a missing object."""
    s3.client.delete_bucket(Bucket=s3.bucket)
    buckets = s3.buckets()
    place = buckets.place(s3.url("data/x.bin"))
    for act in (
        lambda: fetch(place, tmp_path),
        lambda: publish(place, tmp_path, OLD),
        lambda: buckets.expand(s3.url("data/x.bin")),
        lambda: buckets.expand(s3.url("data/*.bin")),
    ):
        with pytest.raises(FileError, match=f"there is no bucket {s3.bucket}"):
            act()


@pytest.fixture
def rights_checked(s3: S3) -> Iterator[None]:
    """Let the server refuse keys that nobody gave out, as AWS does."""

    def ask(count: str) -> None:
        request = urllib.request.Request(  # noqa: S310 - the test's own server
            f"{s3.endpoint}/moto-api/reset-auth",
            data=count.encode(),
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(request).close()  # noqa: S310 - idem

    ask("0")
    yield
    ask("inf")


@pytest.mark.usefixtures("rights_checked")
def test_who_has_no_rights_is_told_so_without_the_keys(s3: S3, tmp_path: Path) -> None:
    """Not an outage: trying again changes nothing."""
    buckets = s3.buckets()
    place = buckets.place(s3.url("data/x.bin"))
    for act in (
        lambda: fetch(place, tmp_path),
        lambda: publish(place, tmp_path, OLD),
        lambda: buckets.expand(s3.url("data/*.bin")),
    ):
        with pytest.raises(FileError, match=f"access denied by bucket {s3.bucket}") as caught:
            act()
        assert s3.settings().access_key not in str(caught.value)


def test_a_full_disk_is_no_fault_of_the_data(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt fails before a byte is fetched, and may be tried again."""
    s3.put("data/x.bin", OLD)

    def no_room(_descriptor: int, _at: int, _size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    with pytest.raises(Outage, match=r"data/x\.bin: .* no room"):
        fetch(s3.buckets().place(s3.url("data/x.bin")), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_stop_during_an_upload_leaves_the_old_or_the_new(s3: S3, tmp_path: Path) -> None:
    """A cancel that arrives between two parts must not make a short object of them."""
    s3.put("data/x.bin", OLD)
    data = LARGE * 4

    def stop(_number: int, _frame: object) -> None:
        raise Stopped(Lease(cancel_requested=True, deadline_passed=False))

    def stop_when_begun() -> None:
        wait_until(lambda: "Uploads" in s3.client.list_multipart_uploads(Bucket=s3.bucket))
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    thread = threading.Thread(target=stop_when_begun)
    try:
        thread.start()
        with pytest.raises(Stopped):
            publish(s3.buckets().place(s3.url("data/x.bin")), tmp_path, data)
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    gc.collect()
    assert s3.get("data/x.bin") in {OLD, data}


def test_a_forked_process_has_a_client_of_its_own(s3: S3) -> None:
    """Workers are forked; no two processes ever speak on one connection."""
    s3.put("data/x.bin", OLD)
    place = s3.buckets().place(s3.url("data/x.bin"))
    assert place.exists()
    ours = place.client._opened
    child = os.fork()
    if child == 0:
        there = place.exists() and place.client._opened != ours
        os._exit(0 if there else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert place.exists()
    assert place.client._opened == ours


def test_nothing_is_started_before_it_is_needed(s3: S3) -> None:
    """A process that touches no object pays nothing for those that might."""
    buckets = s3.buckets()
    buckets.place(s3.url("data/x.bin"))
    assert all(client._opened is None for client in buckets.clients.values())


def test_a_name_too_long_for_a_file_is_fetched(s3: S3, tmp_path: Path) -> None:
    """A key may be longer than a file's name; its ending stays."""
    key = f"data/{'x' * 400}.csv.gz"
    s3.put(key, OLD)
    with s3.buckets().place(s3.url(key)).opened(tmp_path) as path:
        assert path.read_bytes() == OLD
        assert path.name == "object.csv.gz"
