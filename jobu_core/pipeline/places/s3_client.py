"""Arrow's S3 client of one bucket, started when it is first needed, in the process that needs it.

The client brings threads and about 45 MB of memory, so that a process that touches
no object never has it. A forked child starts one of its own: connections are never
shared. Arrow ends what it started when the interpreter ends.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jobu_core.errors import FileError
from jobu_core.pipeline.places.s3_failures import explained

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

    from jobu_core.config import BucketSettings

_DEFAULT_REGION = "us-east-1"


class BucketClient:
    """One configured bucket; safe to keep over a fork and to use from threads."""

    def __init__(self, name: str, bucket: BucketSettings) -> None:
        """Remember how the bucket is reached; starts nothing."""
        self.name = name
        self.prefixes = bucket.prefixes
        self._bucket = bucket
        self._lock = threading.Lock()
        self._opened: tuple[int, S3FileSystem] | None = None

    @property
    def files(self) -> S3FileSystem:
        """The client of this process."""
        with self._lock:
            if self._opened is None or self._opened[0] != os.getpid():
                self._opened = (os.getpid(), self._open())
            return self._opened[1]

    def insist(self, name: str) -> None:
        """Raise FileError, for the object ``name``, when there is no such bucket."""
        from pyarrow.fs import FileType  # noqa: PLC0415 - see above

        with explained(name, self.name):
            found = self.files.get_file_info(self.name)
        if found.type is FileType.NotFound:
            raise FileError(f"{name}: there is no bucket {self.name}")

    def _open(self) -> S3FileSystem:
        from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem  # noqa: PLC0415 - see above

        bucket = self._bucket
        options: dict[str, Any] = {
            "region": bucket.region or (_DEFAULT_REGION if bucket.endpoint_url else None),
            "connect_timeout": bucket.connect_timeout_seconds,
            "request_timeout": bucket.request_timeout_seconds,
            "retry_strategy": AwsStandardS3RetryStrategy(max_attempts=bucket.max_attempts),
            "force_virtual_addressing": bucket.virtual_hosts,
            "tls_ca_file_path": bucket.ca_file or None,
            # A part that failed in the foreground is left out of the object without a word;
            # one in the background fails the whole upload (ADR 0030).
            "background_writes": True,
            # An upload that cannot begin fails when it is opened, before anything is written.
            "allow_delayed_open": False,
        }
        if bucket.endpoint_url:
            address = urlsplit(bucket.endpoint_url)
            options |= {"scheme": address.scheme, "endpoint_override": address.netloc}
        if bucket.anonymous:
            options["anonymous"] = True
        elif bucket.access_key:
            token = bucket.session_token.get_secret_value()
            options |= {
                "access_key": bucket.access_key,
                "secret_key": bucket.secret_key.get_secret_value(),
                "session_token": token or None,
            }
        return S3FileSystem(**options)
