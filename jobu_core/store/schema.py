"""The tables of the job store, as SQLAlchemy Core; the migrations create them.

Each index is partial where its query is, and named for that query. Functions,
trigger and view live in ``migrations/sql.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from jobu_core.models import (
    DeadLetterStatus,
    DstPolicy,
    MisfirePolicy,
    OverlapPolicy,
    ParamSource,
    SkipReason,
    Stage,
    Status,
    Trigger,
)

if TYPE_CHECKING:
    from datetime import datetime
    from enum import StrEnum

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    },
)

_NOW: Final = text("jobu_now()")
_EMPTY_OBJECT: Final = text("'{}'::jsonb")


def _instant(name: str, *, required: bool = False, now: bool = False) -> Column[datetime]:
    return Column(
        name,
        DateTime(timezone=True),
        nullable=not (required or now),
        server_default=_NOW if now else None,
    )


def _one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    members = ", ".join(f"'{member.value}'" for member in values)
    return CheckConstraint(f"{column} IN ({members})", name=column)


def _count(name: str, default: int) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text(str(default)))


cron_jobs: Final = Table(
    "cron_jobs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("cron_expression", String(255), nullable=False),
    Column("timezone", String(64), nullable=False, server_default=text("'UTC'")),
    Column("handler_name", String(255), nullable=False),
    Column("handler_params", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    Column("is_enabled", Boolean, nullable=False, server_default=text("true")),
    Column("overlap_policy", String(20), nullable=False, server_default=text("'skip'")),
    Column("misfire_policy", String(20), nullable=False, server_default=text("'latest'")),
    _count("misfire_grace_seconds", 3600),
    Column("dst_policy", String(20), nullable=False, server_default=text("'standard'")),
    _count("max_retry", 3),
    _count("retry_backoff_seconds", 10),
    _count("timeout_seconds", 3600),
    _count("revision", 1),
    _instant("dispatched_until", now=True),
    _instant("created_at", now=True),
    _instant("updated_at", now=True),
    _one_of("overlap_policy", OverlapPolicy),
    _one_of("misfire_policy", MisfirePolicy),
    _one_of("dst_policy", DstPolicy),
    CheckConstraint("jsonb_typeof(handler_params) = 'object'", name="handler_params_object"),
    CheckConstraint(
        "max_retry >= 0 AND retry_backoff_seconds >= 0 AND timeout_seconds > 0"
        " AND misfire_grace_seconds >= 0",
        name="limits",
    ),
    Index("ix_cron_jobs_dispatch", "handler_name", postgresql_where=text("is_enabled")),
)

job_executions: Final = Table(
    "job_executions",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("job_id", BigInteger, ForeignKey("cron_jobs.id", ondelete="SET NULL")),
    Column("handler_name", String(255), nullable=False),
    Column("params", JSONB, nullable=False, server_default=_EMPTY_OBJECT),
    Column("param_source", String(20), nullable=False),
    Column("trigger", String(20), nullable=False),
    Column("root_execution_id", BigInteger),
    _instant("scheduled_time"),
    _instant("interval_start"),
    _instant("interval_end"),
    Column("status", String(20), nullable=False, server_default=text("'PENDING'")),
    Column("reason", String(64)),
    Column("dedupe_key", Text),
    Column("serial_key", Text),
    _count("priority", 0),
    _count("attempt", 0),
    _count("max_attempts", 4),
    _count("timeout_seconds", 3600),
    _count("retry_backoff_seconds", 10),
    _instant("next_attempt_at"),
    _count("launch_count", 0),
    _instant("queued_at"),
    Column("lease_token", UUID(as_uuid=True)),
    Column("run_id", String(64)),
    Column("worker_id", String(255)),
    _instant("heartbeat_at"),
    _instant("deadline_at"),
    _instant("cancel_requested_at"),
    Column("cancel_reason", Text),
    _instant("started_at"),
    _instant("finished_at"),
    Column("progress", JSONB),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("result", JSONB),
    Column("kafka_topic", String(249)),
    Column("kafka_generation", Integer),
    Column("kafka_partition", Integer),
    Column("kafka_offset", BigInteger),
    Column("message_key", LargeBinary),
    _instant("message_time"),
    _instant("hidden_at"),
    _instant("created_at", now=True),
    _one_of("status", Status),
    _one_of("param_source", ParamSource),
    _one_of("trigger", Trigger),
    CheckConstraint("jsonb_typeof(params) = 'object'", name="params_object"),
    CheckConstraint(
        "(lease_token IS NOT NULL) = (status IN ('QUEUED', 'RUNNING'))",
        name="token_while_launched",
    ),
    Index("uq_job_executions_dedupe_key", "dedupe_key", unique=True),
    Index(
        "ix_job_executions_claim",
        text("priority DESC"),
        "id",
        postgresql_where=text("status = 'PENDING'"),
    ),
    Index(
        "ix_job_executions_in_flight",
        "lease_token",
        postgresql_where=text("status IN ('QUEUED', 'RUNNING')"),
    ),
    Index(
        "uq_job_executions_serial_in_flight",
        "serial_key",
        unique=True,
        postgresql_where=text("serial_key IS NOT NULL AND status IN ('QUEUED', 'RUNNING')"),
    ),
    Index(
        "ix_job_executions_serial_unfinished",
        "serial_key",
        "id",
        postgresql_where=text(
            "serial_key IS NOT NULL AND status IN ('PENDING', 'QUEUED', 'RUNNING')",
        ),
    ),
    Index(
        "ix_job_executions_active_job",
        "job_id",
        postgresql_where=text("status IN ('PENDING', 'QUEUED', 'RUNNING')"),
    ),
    Index("ix_job_executions_job_history", "job_id", text("id DESC")),
    Index(
        "ix_job_executions_root",
        "root_execution_id",
        postgresql_where=text("root_execution_id IS NOT NULL"),
    ),
    Index("ix_job_executions_run", "run_id", postgresql_where=text("run_id IS NOT NULL")),
    Index(
        "ix_job_executions_kafka",
        "kafka_topic",
        "kafka_generation",
        "kafka_partition",
        "kafka_offset",
        postgresql_where=text("kafka_topic IS NOT NULL"),
    ),
)

kafka_positions: Final = Table(
    "kafka_positions",
    metadata,
    Column("group_id", String(255), nullable=False),
    Column("topic", String(249), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("cluster_id", Text),
    Column("topic_id", Text),
    Column("start_offset", BigInteger, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    _instant("updated_at", now=True),
    PrimaryKeyConstraint("group_id", "topic", "generation", "partition"),
    CheckConstraint("next_offset >= start_offset AND start_offset >= 0", name="offsets"),
)

offset_gaps: Final = Table(
    "offset_gaps",
    metadata,
    Column("group_id", String(255), nullable=False),
    Column("topic", String(249), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("from_offset", BigInteger, nullable=False),
    Column("to_offset", BigInteger, nullable=False),
    _instant("decided_at", now=True),
    PrimaryKeyConstraint("group_id", "topic", "generation", "partition", "from_offset"),
    CheckConstraint("to_offset > from_offset", name="offsets"),
)

dead_letters: Final = Table(
    "dead_letters",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("group_id", String(255), nullable=False),
    Column("topic", String(249), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("stage", String(20), nullable=False),
    Column("code", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    _instant("message_time"),
    Column("status", String(20), nullable=False, server_default=text("'open'")),
    Column(
        "execution_id",
        BigInteger,
        ForeignKey("job_executions.id", ondelete="SET NULL"),
    ),
    _count("redrive_count", 0),
    Column("edited_payload", LargeBinary),
    _instant("created_at", now=True),
    Column("mirror_topic", String(249)),
    _instant("mirrored_at"),
    Column("mirror_error", Text),
    _one_of("stage", Stage),
    _one_of("status", DeadLetterStatus),
    UniqueConstraint(
        "group_id",
        "topic",
        "generation",
        "partition",
        "offset",
        name="uq_dead_letters_coordinates",
    ),
    Index(
        "ix_dead_letters_open",
        text("created_at DESC"),
        postgresql_where=text("status = 'open'"),
    ),
    Index(
        "ix_dead_letters_owed",
        "created_at",
        "id",
        postgresql_where=text("mirror_topic IS NOT NULL AND mirrored_at IS NULL"),
    ),
)

dispatch_skips: Final = Table(
    "dispatch_skips",
    metadata,
    Column(
        "job_id",
        BigInteger,
        ForeignKey("cron_jobs.id", ondelete="CASCADE"),
        nullable=False,
    ),
    _instant("scheduled_time", required=True),
    _instant("until"),
    _count("count", 1),
    Column("reason", String(32), nullable=False),
    Column("detail", Text),
    Column("revision", Integer, nullable=False),
    _instant("decided_at", now=True),
    PrimaryKeyConstraint("job_id", "scheduled_time"),
    _one_of("reason", SkipReason),
    CheckConstraint("count > 0", name="count"),
)

workers: Final = Table(
    "workers",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("main_pid", Integer, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("code_version", String(64), nullable=False),
    Column("draining", Boolean, nullable=False, server_default=text("false")),
    _instant("started_at", now=True),
    _instant("heartbeat_at", now=True),
)

jobu_meta: Final = Table(
    "jobu_meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

audit_log: Final = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("who", Text, nullable=False),
    Column("what", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", JSONB),
    Column("after", JSONB),
    _instant("at", now=True),
    Column("why", Text),
)
