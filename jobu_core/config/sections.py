"""One model per section of the configuration; every field says unit and default."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator


class Stack(StrEnum):
    """Where PostgreSQL, Valkey and Kafka live; never guessed."""

    EMBEDDED = "embedded"
    COMPOSE = "compose"
    EXTERNAL = "external"


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


class DatabaseSettings(Section):
    """One database: ``default`` is the job store, the others are load targets."""

    url: SecretStr = SecretStr("")
    """``postgresql://user:password@host:5432/name``; empty = the embedded server."""
    pool_size: Count = 5
    """Connections kept open per process."""


class QueueSettings(Section):
    """The event side: which topic is read, as whom, in which portions."""

    database: str = "default"
    """Name of the job store in ``databases``; only ``default`` is possible."""
    kafka_bootstrap_servers: str = "localhost:9092"
    kafka_group_id: str = "jobu-queue-dispatcher"
    kafka_topic: TopicName = "jobu-events"
    kafka_auto_offset_reset: Literal["earliest", "latest", "none"] = "earliest"
    """Where a topic without stored positions starts; ``none`` refuses to guess."""
    kafka_max_poll_records: Count = 10
    """Records per fetch."""
    ingest_batch: Count = 1000
    """Records per transaction, gathered over several fetches."""
    tick_seconds: Seconds = 4.5
    """How long one sensor tick polls."""
    on_recreate: Literal["stop", "new_generation"] | None = None
    """A topic that was deleted and made again: stop loudly, or start a new
    generation. Unset: ``new_generation`` in the embedded stack, else ``stop``."""
    base_params: Literal["none", "handler_name"] = "none"
    """``handler_name``: an event without job_id takes the params of the one cron
    job of its handler as base."""
    max_message_bytes: Count = 1_048_576
    """Longer values become dead letters ``too_large`` without being parsed."""
    max_pending: Count = 100_000
    """At this many PENDING executions ingest pauses; messages wait in the topic."""
    order_by_key: bool = False
    """Executions of messages with the same key run one after the other, in their order."""
    dead_letter_topic: TopicName | None = None
    """Where a copy of each dead letter is sent, beside the table; unset = nowhere."""
    mode: Literal["assign", "group"] = "assign"
    """``assign``: one process reads all partitions and others stand by.
    ``group``: the processes of the consumer group share them."""

    @field_validator("database")
    @classmethod
    def _is_the_job_store(cls, name: str) -> str:
        if name != "default":
            raise ValueError(
                "must be 'default', the job store: positions and executions are one transaction"
            )
        return name

    @model_validator(mode="after")
    def _mirror_elsewhere(self) -> Self:
        if self.dead_letter_topic == self.kafka_topic:
            raise ValueError("dead_letter_topic must not be kafka_topic: it would feed itself")
        return self


class KafkaSettings(Section):
    """How to reach the broker, beyond its address."""

    adopt_existing: bool = False
    """Embedded stack only: use a broker that is not ours on the configured port."""
    client: dict[str, Any] = Field(default_factory=dict, repr=False)  # may hold sasl.password
    """Further librdkafka settings, for example ``security.protocol``."""


class LaunchSettings(Section):
    """How many runs are asked of Dagster, and when one counts as lost."""

    ahead: Count = 2
    """Launches kept per live slot, running ones included."""
    max_launches: Count = 5
    """Launches without a claim before the row is FAILED ``launch_failed``."""
    launch_grace_seconds: Seconds = 30
    """How long a launch may show no run before it counts as lost."""
    max_batch: Count = 100
    """Executions per run at most; more than one only while more are due than can be
    launched. 1: always one. Staged handlers (``pipeline``) never share a run."""
    batch_seconds: Seconds = 30
    """A run that has executed for this long gives the rest of its executions back."""


class RetentionSettings(Section):
    """What ``jobu prune`` leaves where it is, and in which portions it works."""

    days: Count = 30
    """Ended executions, settled dead letters, skips and runs of Dagster stay so long."""
    work_days: Count = 7
    """Files of attempts that failed, and rejects, stay so long after the execution's end."""
    keep_materializations: Count = 10
    """Runs that hold one of the newest so many materializations of an asset stay."""
    batch: Count = 500
    """Executions, letters, skips or runs per transaction."""


class DispatcherSettings(Section):
    """Cron ticks, launch and reconcile."""

    max_clock_skew_seconds: Seconds = 5
    misfire_threshold_seconds: Seconds = 90
    """An occurrence older than this when decided counts as missed."""
    max_catchup: Count = 100
    """Newest missed occurrences looked at per job and tick."""
    min_cron_interval_seconds: Count = 60
    handler_unknown_grace_seconds: Seconds = 300
    reconcile_interval_seconds: Seconds = 5
    """Pause between two looks of the reconciler."""
    launch: LaunchSettings = LaunchSettings()
    retention: RetentionSettings = RetentionSettings()


class WorkerSettings(Section):
    """The warm workers and the limits of events, which have no cron job's."""

    broker_url: SecretStr = SecretStr("")
    """``redis://host:6379/0`` (Valkey or Redis); empty = the embedded Valkey."""
    slots: Count = 2
    """Executions at a time per worker (prefork children)."""
    heartbeat_seconds: Seconds = 5
    lease_seconds: Seconds = 30
    cancel_poll_seconds: Seconds = 1
    cancel_grace_seconds: Seconds = 2
    max_retry: Annotated[int, Field(ge=0)] = 3
    retry_backoff_seconds: Annotated[int, Field(ge=0)] = 10
    timeout_seconds: Count = 3600
    work_dir: str = ".jobu/work"
    """Where attempts keep files of their own; relative to the project root."""


class AdminSettings(Section):
    """The Dagster web server and what listens beside it."""

    dagster_host: str = "127.0.0.1"
    dagster_port: Port = 3000


class HandlersSettings(Section):
    """What may be executed, and which files it may touch."""

    modules: tuple[str, ...] = ()
    """Modules imported at start; they register handlers, models and transforms."""
    data_roots: dict[str, str] = Field(default_factory=lambda: {"/data": "./data"})
    """Logical root → real folder; the only paths handlers may use."""
    free_tables: tuple[str, ...] = ()
    """Patterns ``db.schema.table`` that may be loaded without a dataset."""
