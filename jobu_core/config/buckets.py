"""The shape of ``s3_buckets`` in ``handlers.yaml``: which objects handlers may touch, and how."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr, field_validator, model_validator

from jobu_core.config.sections import Count, Seconds, Section

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def _bucket_name(name: str) -> str:
    if not _BUCKET.fullmatch(name):
        raise ValueError("a bucket's name has 3 to 63 of a-z, 0-9, '.' and '-'")
    return name


BucketName = Annotated[str, AfterValidator(_bucket_name)]


class BucketSettings(Section):
    """One bucket that params may name as ``s3://bucket/key``."""

    prefixes: tuple[str, ...] = ()
    """Folders of keys that may be used, for example ``raw/``; none given: the whole bucket."""
    endpoint_url: str = ""
    """``http(s)://host:port`` of a server that speaks S3; empty = AWS of ``region``."""
    region: str = ""
    """Empty: ``us-east-1`` with ``endpoint_url``, else what AWS's environment and profile say."""
    virtual_hosts: bool = False
    """With ``endpoint_url``: the bucket is part of the host's name, not of the path."""
    ca_file: str = ""
    """PEM file of the authorities that sign the server's certificate; empty = the system's."""
    access_key: str = ""
    """Empty: AWS's own environment variables, profile or role."""
    secret_key: SecretStr = SecretStr("")
    session_token: SecretStr = SecretStr("")
    """Of temporary credentials."""
    anonymous: bool = False
    """Send no credentials: public buckets."""
    connect_timeout_seconds: Seconds = 5
    request_timeout_seconds: Seconds = 30
    """How long an answer may stand still; one that goes on may take longer."""
    max_attempts: Count = 3
    """Tries of each request before the attempt fails as ``storage_unavailable``."""

    @field_validator("prefixes")
    @classmethod
    def _folders(cls, prefixes: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in prefixes:
            parts = prefix.removesuffix("/").split("/")
            if not all(parts) or {".", ".."} & set(parts):
                raise ValueError("a prefix is folders of a key, like raw/ or raw/orders/")
        return tuple(prefix.removesuffix("/") for prefix in prefixes)

    @field_validator("endpoint_url")
    @classmethod
    def _address(cls, url: str) -> str:
        if not url:
            return url
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise ValueError("holds a name or password; use access_key and secret_key")
        beyond = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in {"http", "https"} or not parts.hostname or beyond:
            raise ValueError("must be http://host:port or https://host:port")
        return url

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if bool(self.access_key) != bool(self.secret_key.get_secret_value()):
            raise ValueError("access_key and secret_key: give both or neither")
        if self.session_token.get_secret_value() and not self.access_key:
            raise ValueError("session_token: needs access_key and secret_key")
        if self.anonymous and self.access_key:
            raise ValueError("anonymous: true sends no credentials, but access_key is given")
        if self.virtual_hosts and not self.endpoint_url:
            raise ValueError("virtual_hosts: needs endpoint_url; AWS always has virtual hosts")
        return self
