"""What the S3 client's errors mean: retried, or given to a person."""

from __future__ import annotations

import pytest

from jobu_core.errors import FileError, StorageUnavailable
from jobu_core.pipeline.places.s3_failures import failure

HEAD = "When reading information for key 'k' in bucket 'lake': AWS Error "
NAME = "s3://lake/k"


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (
            "NETWORK_CONNECTION during HeadObject operation: curlCode: 7, No server; 10.0.0.1:9000",
            StorageUnavailable,
            "HeadObject failed (NETWORK_CONNECTION: No server)",
        ),
        ("SLOW_DOWN during UploadPart operation: x", StorageUnavailable, "UploadPart failed"),
        (
            "UNKNOWN (HTTP status 503) during GetObject operation: x",
            StorageUnavailable,
            "GetObject",
        ),
        (
            "UNKNOWN (HTTP status 429) during GetObject operation: x",
            StorageUnavailable,
            "GetObject",
        ),
        (
            "ACCESS_DENIED during HeadObject operation: x",
            FileError,
            "access denied",
        ),
        ("UNKNOWN (HTTP status 403) during HeadObject operation: x", FileError, "access denied"),
        (
            "INVALID_ACCESS_KEY_ID during PutObject operation: AKIAVERYSECRET",
            FileError,
            "access denied by bucket lake (PutObject: INVALID_ACCESS_KEY_ID)",
        ),
        (
            "NO_SUCH_BUCKET during CreateMultipartUpload operation: x",
            FileError,
            "there is no bucket lake",
        ),
        ("NO_SUCH_KEY during GetObject operation: x", FileError, "no such object"),
        ("UNKNOWN (HTTP status 301) during HeadObject operation: x", FileError, "region"),
        ("INVALID_RANGE during GetObject operation: x", FileError, "refused GetObject"),
    ],
)
def test_each_error_has_its_kind(said: str, kind: type[Exception], told: str) -> None:
    """An outage is retried; what a person must correct is not; the server's words are not told."""
    found = failure(NAME, "lake", HEAD + said)
    assert type(found) is kind
    assert str(found).startswith(f"{NAME}: ")
    assert told in str(found)
    assert "AKIAVERYSECRET" not in str(found)
    assert "10.0.0.1" not in str(found)


def test_an_error_without_a_code_is_an_outage() -> None:
    """Nothing is known of the data, so nothing is said of it."""
    assert isinstance(failure(NAME, "lake", "boo"), StorageUnavailable)
