"""Whether a configured bucket can be used, asked by ``jobu doctor``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobu_core.pipeline.places.s3_names import SCHEME, ObjectName
from jobu_core.pipeline.places.s3_object import S3Object

if TYPE_CHECKING:
    from jobu_core.pipeline.places.s3_client import BucketClient

PROBE: Final = ".jobu-doctor"
"""The object that is asked for in each folder, and put there if writing is to be tried."""


def check_bucket(client: BucketClient, *, write: bool) -> str:
    """Return what was found; raises FileError or StorageUnavailable for what was not.

    With ``write`` the object ``PROBE`` is put into each configured folder, and stays.
    """
    client.insist(f"{SCHEME}{client.name}")
    for prefix in client.prefixes or ("",):
        key = f"{prefix}/{PROBE}" if prefix else PROBE
        probe = S3Object(client, ObjectName(client.name, key))
        probe.exists()  # asks for the right to read, whether it is there or not
        if write:
            _put(probe)
    return "can be read and written" if write else "can be read"


def _put(probe: S3Object) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="jobu-doctor-") as folder,
        probe.draft(Path(folder)) as draft,
    ):
        draft.write_bytes(b"put by jobu doctor; may be deleted\n")
        probe.publish(draft)
