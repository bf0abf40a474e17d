"""The nouns of jobu as frozen values; no behaviour beyond what follows from them.

``TRANSITIONS`` is the state machine: the database's trigger, the code and
docs/state_machine.md are tested to agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


MAX_ID: Final = 2**63 - 1
"""The greatest id that a bigint column can hold."""


class Status(StrEnum):
    """Where an execution stands."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    CANCELED = "CANCELED"


TERMINAL: Final = frozenset({Status.SUCCESS, Status.FAILED, Status.TIMEOUT, Status.CANCELED})

TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PENDING: frozenset({Status.QUEUED, Status.CANCELED, Status.FAILED}),
    Status.QUEUED: frozenset({Status.RUNNING, Status.PENDING, Status.CANCELED, Status.FAILED}),
    Status.RUNNING: frozenset(
        {Status.SUCCESS, Status.FAILED, Status.TIMEOUT, Status.CANCELED, Status.PENDING},
    ),
    Status.SUCCESS: frozenset(),
    Status.FAILED: frozenset(),
    Status.TIMEOUT: frozenset(),
    Status.CANCELED: frozenset(),
}


class ParamSource(StrEnum):
    """Where an execution's params came from."""

    CRON = "cron"
    EVENT = "event"


class Trigger(StrEnum):
    """What made an execution."""

    SCHEDULE = "schedule"
    EVENT = "event"
    MANUAL = "manual"
    RETRY = "retry"
    REDRIVE = "redrive"
    BACKFILL = "backfill"
    REPLAY = "replay"


class OverlapPolicy(StrEnum):
    """What a due occurrence does while one of the same job is active."""

    SKIP = "skip"
    ALLOW = "allow"
    QUEUE_ONE = "queue_one"
    QUEUE_ALL = "queue_all"
    REPLACE = "replace"


class MisfirePolicy(StrEnum):
    """Which of the missed occurrences run."""

    LATEST = "latest"
    ALL = "all"
    NONE = "none"


class DstPolicy(StrEnum):
    """What happens to local times that do not exist or exist twice."""

    STANDARD = "standard"
    SKIP = "skip"
    BOTH = "both"


class SkipReason(StrEnum):
    """Why a due occurrence did not become an execution."""

    OVERLAP = "overlap"
    MISFIRED = "misfired"
    COALESCED = "coalesced"
    DISABLED = "disabled"
    GAP = "gap"
    HANDLER_UNKNOWN = "handler_unknown"
    INVALID = "invalid"


class Stage(StrEnum):
    """At which step a message was refused."""

    DECODE = "decode"
    VALIDATE = "validate"
    RESOLVE = "resolve"
    INSERT = "insert"


class DeadLetterStatus(StrEnum):
    """What became of a dead letter."""

    OPEN = "open"
    REDRIVEN = "redriven"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class CronJob:
    """One row of ``cron_jobs``."""

    id: int
    name: str
    description: str
    cron_expression: str
    timezone: str
    handler_name: str
    handler_params: Mapping[str, Any]
    is_enabled: bool
    overlap_policy: OverlapPolicy
    misfire_policy: MisfirePolicy
    misfire_grace_seconds: int
    dst_policy: DstPolicy
    max_retry: int
    retry_backoff_seconds: int
    timeout_seconds: int
    revision: int
    dispatched_until: datetime
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where a message lies: topic, generation of that topic, partition, offset."""

    topic: str
    generation: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class NewExecution:
    """What dispatch writes; the rest of the row has database defaults."""

    handler_name: str
    params: Mapping[str, Any]
    param_source: ParamSource
    trigger: Trigger
    job_id: int | None = None
    root_execution_id: int | None = None
    scheduled_time: datetime | None = None
    interval_start: datetime | None = None
    interval_end: datetime | None = None
    dedupe_key: str | None = None
    serial_key: str | None = None
    priority: int = 0
    max_attempts: int = 4
    timeout_seconds: int = 3600
    retry_backoff_seconds: int = 10
    coordinates: Coordinates | None = None
    message_key: bytes | None = None
    message_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """One row of ``job_executions``, as read."""

    id: int
    job_id: int | None
    handler_name: str
    params: Mapping[str, Any]
    param_source: ParamSource
    trigger: Trigger
    root_execution_id: int | None
    scheduled_time: datetime | None
    interval_start: datetime | None
    interval_end: datetime | None
    status: Status
    reason: str | None
    dedupe_key: str | None
    serial_key: str | None
    priority: int
    attempt: int
    max_attempts: int
    timeout_seconds: int
    retry_backoff_seconds: int
    next_attempt_at: datetime | None
    launch_count: int
    queued_at: datetime | None
    lease_token: UUID | None
    run_id: str | None
    worker_id: str | None
    heartbeat_at: datetime | None
    deadline_at: datetime | None
    cancel_requested_at: datetime | None
    cancel_reason: str | None
    started_at: datetime | None
    finished_at: datetime | None
    progress: Any
    error_type: str | None
    error_message: str | None
    result: Any
    kafka_topic: str | None
    kafka_generation: int | None
    kafka_partition: int | None
    kafka_offset: int | None
    message_key: bytes | None
    message_time: datetime | None
    hidden_at: datetime | None
    created_at: datetime

    @property
    def root_id(self) -> int:
        """The first execution of this chain of operator retries; itself if none."""
        return self.root_execution_id if self.root_execution_id is not None else self.id


def fused_job(handler: str) -> str:
    """Return the Dagster job that runs all stages of a handler as one op."""
    return f"{handler}_fused"


@dataclass(frozen=True, slots=True)
class LaunchBatch:
    """Rows that one run carries: one token, one handler, ids in ascending order."""

    token: UUID
    handler: str
    execution_ids: tuple[int, ...]
    source: ParamSource
    fused: bool = False
    """Whether all stages of the handler are one op."""

    @property
    def job(self) -> str:
        """The Dagster job that carries it."""
        return fused_job(self.handler) if self.fused else self.handler


@dataclass(frozen=True, slots=True)
class Fence:
    """What every write after launch must match: the launch token and the attempt."""

    execution_id: int
    token: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """One message as bytes with its coordinates; nothing decoded.

    ``timestamp`` is the broker's or producer's, UTC, or None.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A decoded message: ``handler_name`` may be None only when ``job_id`` is given."""

    handler_name: str | None
    params: Mapping[str, Any]
    job_id: int | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a message does not become an execution."""

    stage: Stage
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where ingest stands in one partition; ``next_offset`` is the next to read."""

    group_id: str
    topic: str
    generation: int
    partition: int
    cluster_id: str | None
    topic_id: str | None
    next_offset: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One row of ``dead_letters``: the original bytes and why they were refused."""

    id: UUID
    group_id: str
    coordinates: Coordinates
    stage: Stage
    code: str
    message: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    message_time: datetime | None
    status: DeadLetterStatus
    execution_id: int | None
    redrive_count: int
    edited_payload: bytes | None
    created_at: datetime
    mirror_topic: str | None = None
    """Where a copy was owed to when it was refused."""
    mirrored_at: datetime | None = None
    mirror_error: str | None = None
    """Why the cluster will never take the copy."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One row of ``workers``: a Celery main process and its slots."""

    id: str
    host: str
    main_pid: int
    slots: int
    code_version: str
    draining: bool
    started_at: datetime
    heartbeat_at: datetime


@dataclass(frozen=True, slots=True)
class Skip:
    """A due occurrence, or a span of them, that did not become an execution."""

    job_id: int
    scheduled_time: datetime
    reason: SkipReason
    revision: int
    until: datetime | None = None
    count: int = 1
    detail: str | None = field(default=None)
