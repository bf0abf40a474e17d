"""The configured buckets: which objects a text may name, and which ones a pattern means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.errors import PathRefused
from jobu_core.pipeline.places.s3_client import BucketClient
from jobu_core.pipeline.places.s3_failures import explained
from jobu_core.pipeline.places.s3_names import (
    SCHEME,
    ObjectName,
    check_pattern,
    fixed_folder,
    matches,
    object_name,
)
from jobu_core.pipeline.places.s3_object import S3Object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobu_core.config import BucketSettings


class Buckets:
    """The ``s3_buckets`` of this installation; nothing else in S3 is ever asked for."""

    def __init__(self, configured: Mapping[str, BucketSettings]) -> None:
        """Remember them; starts no client."""
        self._clients = {name: BucketClient(name, each) for name, each in configured.items()}

    @property
    def clients(self) -> Mapping[str, BucketClient]:
        """Name → the bucket's client."""
        return self._clients

    def place(self, text: str) -> S3Object:
        """Return the object that ``text`` names; it need not exist.

        Raises PathRefused for a bucket or folder that is not configured.
        """
        name = object_name(text)
        return S3Object(self._client_of(name), name)

    def expand(self, text: str) -> tuple[S3Object, ...]:
        """Return the objects that ``text`` names or matches, sorted; none if there is none.

        An object that is literally called so wins over the pattern's reading. Lists
        the folder before the first part that is a pattern. Raises FileError when
        there is no such bucket or it may not be listed.
        """
        name = object_name(text)
        if not name.is_pattern:
            place = self.place(text)
            if place.exists():
                return (place,)
            place.client.insist(place.name)
            return ()
        client = self._client_of(name)
        check_pattern(name)
        literal = S3Object(client, name)
        if literal.exists():
            return (literal,)
        found = [key for key in _listed(client, name) if matches(key, name)]
        if not found:
            client.insist(str(name))
        return tuple(
            S3Object(client, ObjectName(name.bucket, key))
            for key in sorted(found, key=lambda key: key.split("/"))
        )

    def known(self) -> str:
        """Say what is allowed."""
        allowed = [
            f"{SCHEME}{name}/{prefix}/" if prefix else f"{SCHEME}{name}/"
            for name, client in self._clients.items()
            for prefix in client.prefixes or ("",)
        ]
        return ", ".join(sorted(allowed)) or "no bucket; add yours to s3_buckets in handlers.yaml"

    def _client_of(self, name: ObjectName) -> BucketClient:
        client = self._clients.get(name.bucket)
        if client is None:
            raise PathRefused(f"{str(name)!r}: its bucket is not among: {self.known()}")
        # A pattern is judged by its fixed folders, so that all it can match lies inside.
        fixed = (*fixed_folder(name), "") if name.is_pattern else name.parts
        key = ObjectName(name.bucket, "/".join(fixed))
        if client.prefixes and not any(key.is_below(prefix) for prefix in client.prefixes):
            raise PathRefused(f"{str(name)!r}: is not below one of: {self.known()}")
        return client


def _listed(client: BucketClient, pattern: ObjectName) -> list[str]:
    """Return the keys of the pattern's folder; those of folders in it only if asked for."""
    from pyarrow.fs import FileSelector, FileType  # noqa: PLC0415 - see s3_client.py

    folder = fixed_folder(pattern)
    start = "/".join((pattern.bucket, *folder))
    deep = len(pattern.parts) > len(folder) + 1
    with explained(str(pattern), client.name):
        found = client.files.get_file_info(
            FileSelector(start, recursive=deep, allow_not_found=True)
        )
    return [each.path.partition("/")[2] for each in found if each.type is FileType.File]
