"""Days, times, moments and durations, each as exact as its column."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from jobu_core.errors import DataError
from jobu_core.pipeline.load.mysql.checks import between, cast, then

if TYPE_CHECKING:
    from jobu_core.pipeline.load.mysql.checks import Encode, TargetType, Values

_MICROSECOND: Final = dt.timedelta(microseconds=1)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _since_epoch(moment: dt.datetime) -> int:
    return (moment.replace(tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND


_FIRST_DAY: Final = (dt.date.min - _EPOCH.date()).days
_LAST_DAY: Final = (dt.date.max - _EPOCH.date()).days
_RANGES: Final = {
    "datetime": (
        _since_epoch(dt.datetime.min.replace(tzinfo=dt.UTC)),
        _since_epoch(dt.datetime.max.replace(tzinfo=dt.UTC)),
    ),
    "timestamp": (
        _since_epoch(dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)),
        _since_epoch(dt.datetime(2038, 1, 19, 3, 14, 7, 999_999, tzinfo=dt.UTC)),
    ),
}
"""What each type holds, in microseconds since 1970; ``timestamp`` by MySQL's own limits."""
_LONGEST_TIME: Final = dt.timedelta(hours=838, minutes=59, seconds=59) // _MICROSECOND


def date(_source: pa.DataType, _target: TargetType) -> Encode:
    """Return days of the years 1 to 9999."""
    return then(cast(pa.date32()), _days)


def _days(values: Values) -> Values:
    """Compare numbers: years after 9999 are no Python dates."""
    between(_FIRST_DAY, _LAST_DAY, "date")(values.cast(pa.int32()))
    return values


def datetime(source: pa.DataType, target: TargetType) -> Encode | None:
    """Return wall clocks for DATETIME, moments in UTC for TIMESTAMP; never one for the other."""
    assert isinstance(source, pa.TimestampType)  # noqa: S101 - narrows a type
    if (source.tz is not None) != (target.name == "timestamp"):
        return None
    exact = cast(pa.timestamp("us", tz=None if source.tz is None else "UTC"))
    right = then(between(*_RANGES[target.name], target.name), _whole(target.fraction))

    def encode(values: Values) -> Values:
        return right(exact(values).cast(pa.int64())).cast(pa.timestamp("us"))

    return encode


def time(_source: pa.DataType, target: TargetType) -> Encode:
    """Return times of the day."""
    exact = cast(pa.time64("us"))

    def encode(values: Values) -> Values:
        found = exact(values)
        _whole(target.fraction)(found.cast(pa.int64()))
        return found

    return encode


def duration(_source: pa.DataType, target: TargetType) -> Encode:
    """Return durations as the hours that TIME holds, up to 838:59:59."""
    exact = cast(pa.duration("us"))
    within = then(between(-_LONGEST_TIME, _LONGEST_TIME, "time"), _whole(target.fraction))

    def encode(values: Values) -> Values:
        counted = within(exact(values).cast(pa.int64())).to_pylist()
        return pa.array([None if each is None else _clock(each) for each in counted], pa.string())

    return encode


def _clock(microseconds: int) -> str:
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    sign = "-" if microseconds < 0 else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:06}"


def _whole(fraction: int | None) -> Encode:
    """Return a check that microseconds need no more digits than the column keeps."""
    kept = fraction or 0
    step = 10 ** (6 - kept)

    def encode(values: Values) -> Values:
        rest = pc.subtract(values, pc.multiply(pc.divide(values, pa.scalar(step)), pa.scalar(step)))
        if pc.any(pc.not_equal(rest, pa.scalar(0))).as_py():
            raise DataError(
                f"a value has a fraction of a second of which the column keeps {kept} digits"
            )
        return values

    return encode
