"""What an error of Arrow's S3 client means: an outage, or something a person must correct.

Arrow raises OSError with a sentence of the AWS SDK in it. Its code decides; of its
words only those about the connection are repeated.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from jobu_core.errors import FileError, JobuError, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

_SAID: Final = re.compile(
    r"AWS Error (?P<code>[A-Z0-9_]+)(?: \(HTTP status (?P<status>\d+)\))? during (?P<asked>\w+)"
)
_CONNECTION: Final = re.compile(r"curlCode: \d+, (?P<words>[^;\n]+)")
_DENIED: Final = frozenset(
    {
        *("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH"),
        *("INVALID_CLIENT_TOKEN_ID", "MISSING_AUTHENTICATION_TOKEN", "UNRECOGNIZED_CLIENT"),
        *("INVALID_SIGNATURE", "INCOMPLETE_SIGNATURE", "OPT_IN_REQUIRED"),
    }
)
_BUSY: Final = frozenset(
    {
        *("NETWORK_CONNECTION", "SLOW_DOWN", "SERVICE_UNAVAILABLE", "INTERNAL_FAILURE"),
        *("THROTTLING", "REQUEST_TIMEOUT", "REQUEST_EXPIRED", "REQUEST_TIME_TOO_SKEWED"),
    }
)
_TOO_MANY: Final = 429
_SERVER: Final = 500


@contextmanager
def explained(name: str, bucket: str) -> Iterator[None]:
    """Turn what Arrow raises inside into jobu's errors; ``name`` is the object's.

    Nothing but calls of the S3 client belongs into the block: every OSError counts.
    """
    try:
        yield
    except FileNotFoundError:
        raise FileError(f"{name}: no such object") from None
    except OSError as error:
        raise failure(name, bucket, str(error)) from None


def failure(name: str, bucket: str, text: str) -> JobuError:
    """Return what an error's text means; without a code of the SDK it is an outage."""
    said = _SAID.search(text)
    if said is None:
        return StorageUnavailable(f"{name}: the S3 client failed without saying why")
    code, asked, status = said["code"], said["asked"], int(said["status"] or 0)
    if code in _BUSY or status >= _SERVER or status == _TOO_MANY:
        words = _CONNECTION.search(text)
        why = f": {words['words']}" if words else ""
        return StorageUnavailable(f"{name}: {asked} failed ({code}{why})")
    return FileError(f"{name}: {_refused(bucket, asked, code, status)}")


def _refused(bucket: str, asked: str, code: str, status: int) -> str:
    """Say what a person must correct."""
    if code in _DENIED or status in {401, 403}:
        return (
            f"access denied by bucket {bucket} ({asked}: {code}); correct the credentials or "
            "their rights (without the right to list, a missing object looks so, too)"
        )
    if code == "NO_SUCH_BUCKET":
        return f"there is no bucket {bucket}"
    if code in {"NO_SUCH_KEY", "RESOURCE_NOT_FOUND"}:
        return "no such object"
    if status in {301, 307, 400} and code == "UNKNOWN":
        return (
            f"bucket {bucket} did not take the request (HTTP {status}); most often its region "
            "is not the one in s3_buckets"
        )
    return f"bucket {bucket} refused {asked} ({code}{f', HTTP {status}' if status else ''})"
