"""Every exception that jobu raises on purpose.

A caller decides by class: an *outage* is retried and nothing is blamed for it,
*bad input* goes back to the person who sent it, a *lost fence* means that
somebody else owns the row now.

::

    JobuError
    ├── ConfigError                 a value in config/ or JOBU_…
    ├── InvalidInput                what a person or a message asked for
    │   ├── InvalidCron             expression, zone or policy of a cron job
    │   ├── InvalidParams           handler params; names the field
    │   ├── UnknownHandler          name not in the registry
    │   └── PathRefused             outside data_roots and buckets, or not a path
    ├── NotFound                    no row of that id or name
    ├── Conflict                    the row is not in a state that allows it
    ├── Outage                      retry later; no data is at fault
    │   ├── StoreUnavailable        PostgreSQL of the job store
    │   ├── QueueUnavailable        Kafka
    │   ├── StorageUnavailable      an S3 server
    │   ├── TargetUnavailable       a target database
    │   └── TargetBusy              a lock there was not granted in time
    ├── FenceLost                   (token, attempt) no longer owns the row
    ├── PositionMoved               another ingest wrote this partition
    ├── TopicChanged                the topic is not the one we have positions of
    ├── DataError                   the user's data; never retried blindly
    │   ├── FileError               a file cannot be read as declared
    │   ├── SchemaMismatch          columns or types differ from the target
    │   ├── TransformFailed         a person's own function raised, or returned nonsense
    │   ├── RowsRejected            more rejects than allowed
    │   └── LoadRefused             a guard or the manifest says no
    └── ServiceError                an embedded service or process
        └── PortTaken               names the port and its setting
"""

from __future__ import annotations


class JobuError(Exception):
    """The base of every error that jobu raises on purpose."""

    code = "error"
    """Stable slug for dead letters, executions and JSON output."""


class ConfigError(JobuError):
    """A configuration value is missing, unknown or unusable."""

    code = "config"


class InvalidInput(JobuError):  # noqa: N818 - reads as what it is: input that is invalid
    """What a person or a message asked for cannot be done as written."""

    code = "invalid"


class InvalidCron(InvalidInput):
    """A cron expression, time zone or policy that cannot be scheduled."""

    code = "invalid_cron"


class InvalidParams(InvalidInput):
    """Handler params that do not fit the handler's model; names each field."""

    code = "invalid_params"


class UnknownHandler(InvalidInput):
    """No handler of that name is registered."""

    code = "handler_unknown"


class PathRefused(InvalidInput):
    """A path outside ``data_roots`` and ``s3_buckets``, or something that is no path."""

    code = "path_refused"


class NotFound(JobuError):  # noqa: N818 - the field's word
    """There is no row of that id or name."""

    code = "not_found"


class Conflict(JobuError):  # noqa: N818 - the field's word
    """The row is not in a state that allows what was asked."""

    code = "conflict"


class Outage(JobuError):  # noqa: N818 - the field's word
    """Something is unreachable; retry later, blame no data."""

    code = "outage"


class StoreUnavailable(Outage):
    """The job store (PostgreSQL) is unreachable."""

    code = "store_unavailable"


class QueueUnavailable(Outage):
    """The broker (Kafka) is unreachable."""

    code = "queue_unavailable"


class StorageUnavailable(Outage):
    """An S3 server is unreachable or overloaded."""

    code = "storage_unavailable"


class TargetUnavailable(Outage):
    """A target database is unreachable."""

    code = "target_unavailable"


class TargetBusy(Outage):
    """A lock in a target database was not granted in time; a deferral, no attempt."""

    code = "target_busy"


class FenceLost(JobuError):  # noqa: N818 - the field's word
    """A fenced write was refused: (token, attempt) no longer owns the row."""

    code = "fence_lost"


class PositionMoved(JobuError):  # noqa: N818 - a fact about a position
    """A partition's stored position is not the expected one."""

    code = "position_moved"


class TopicChanged(JobuError):  # noqa: N818 - a fact about a topic
    """The topic's identity differs from the one the positions belong to."""

    code = "topic_changed"


class DataError(JobuError):
    """The user's data cannot be processed as declared."""

    code = "data_error"


class FileError(DataError):
    """A file is missing, unreadable or malformed; names file and place."""

    code = "file_error"


class SchemaMismatch(DataError):  # noqa: N818 - a fact about two schemas
    """Columns or types differ from the target; lists every difference."""

    code = "schema_mismatch"


class TransformFailed(DataError):  # noqa: N818 - a fact about a function
    """A registered transform raised, or returned what cannot be stored; names it."""

    code = "transform_failed"


class RowsRejected(DataError):  # noqa: N818 - a fact about rows
    """More rows were rejected than the params allow."""

    code = "rows_rejected"

    def __init__(self, message: str, report: object = None) -> None:
        """Keep the stage's ``report``, for those who show its counts."""
        super().__init__(message)
        self.report = report


class LoadRefused(DataError):  # noqa: N818 - a fact about a load
    """A guard, the manifest or the target's state refuses the load."""

    code = "load_refused"


class ServiceError(JobuError):
    """An embedded service or a process of the stack failed."""

    code = "service"


class PortTaken(ServiceError):  # noqa: N818 - a fact about a port
    """A port is held by somebody else; names the setting that moves it."""

    code = "port_taken"
