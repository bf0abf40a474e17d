"""The whole schema of jobu 0.1: tables, jobu_now(), state check, ledger view."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from jobu_core.store.migrations import sql
from jobu_core.store.migrations.columns import (
    defaulted,
    document,
    identity,
    instant,
    number,
    optional,
    required,
    stamped,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_PARTITION: Final = ("group_id", "topic", "generation", "partition")


def upgrade() -> None:
    """Create everything."""
    op.execute(sql.JOBU_NOW)
    _create_cron_jobs()
    _create_job_executions()
    _index_job_executions()
    _create_positions()
    _create_dead_letters()
    _create_dispatch_skips()
    _create_workers()
    _create_records()
    op.execute(sql.CHECK_TRANSITION)
    op.execute(sql.TRANSITION_TRIGGER)
    op.execute(sql.DISPATCH_LEDGER)
    op.execute(sql.INSTALLATION)


def _create_cron_jobs() -> None:
    op.create_table(
        "cron_jobs",
        identity(),
        required("name", sa.String(255)),
        defaulted("description", sa.Text(), "''"),
        required("cron_expression", sa.String(255)),
        defaulted("timezone", sa.String(64), "'UTC'"),
        required("handler_name", sa.String(255)),
        document("handler_params", "{}"),
        defaulted("is_enabled", sa.Boolean(), "true"),
        defaulted("overlap_policy", sa.String(20), "'skip'"),
        defaulted("misfire_policy", sa.String(20), "'latest'"),
        number("misfire_grace_seconds", 3600),
        defaulted("dst_policy", sa.String(20), "'standard'"),
        number("max_retry", 3),
        number("retry_backoff_seconds", 10),
        number("timeout_seconds", 3600),
        number("revision", 1),
        stamped("dispatched_until"),
        stamped("created_at"),
        stamped("updated_at"),
        sa.CheckConstraint(
            "dst_policy IN ('standard', 'skip', 'both')",
            name=op.f("ck_cron_jobs_dst_policy"),
        ),
        sa.CheckConstraint(
            "jsonb_typeof(handler_params) = 'object'",
            name=op.f("ck_cron_jobs_handler_params_object"),
        ),
        sa.CheckConstraint(
            "misfire_policy IN ('latest', 'all', 'none')",
            name=op.f("ck_cron_jobs_misfire_policy"),
        ),
        sa.CheckConstraint(
            "overlap_policy IN ('skip', 'allow', 'queue_one', 'queue_all', 'replace')",
            name=op.f("ck_cron_jobs_overlap_policy"),
        ),
        sa.CheckConstraint(
            "max_retry >= 0 AND retry_backoff_seconds >= 0 AND timeout_seconds > 0"
            " AND misfire_grace_seconds >= 0",
            name=op.f("ck_cron_jobs_limits"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cron_jobs")),
        sa.UniqueConstraint("name", name=op.f("uq_cron_jobs_name")),
    )
    op.create_index(
        "ix_cron_jobs_dispatch",
        "cron_jobs",
        ["handler_name"],
        postgresql_where=sa.text("is_enabled"),
    )


def _create_job_executions() -> None:
    op.create_table(
        "job_executions",
        identity(),
        optional("job_id", sa.BigInteger()),
        required("handler_name", sa.String(255)),
        document("params", "{}"),
        required("param_source", sa.String(20)),
        required("trigger", sa.String(20)),
        optional("root_execution_id", sa.BigInteger()),
        instant("scheduled_time"),
        instant("interval_start"),
        instant("interval_end"),
        defaulted("status", sa.String(20), "'PENDING'"),
        optional("reason", sa.String(64)),
        optional("dedupe_key", sa.Text()),
        optional("serial_key", sa.Text()),
        number("priority", 0),
        number("attempt", 0),
        number("max_attempts", 4),
        number("timeout_seconds", 3600),
        number("retry_backoff_seconds", 10),
        instant("next_attempt_at"),
        number("launch_count", 0),
        instant("queued_at"),
        optional("lease_token", sa.UUID()),
        optional("run_id", sa.String(64)),
        optional("worker_id", sa.String(255)),
        instant("heartbeat_at"),
        instant("deadline_at"),
        instant("cancel_requested_at"),
        optional("cancel_reason", sa.Text()),
        instant("started_at"),
        instant("finished_at"),
        optional("progress", JSONB()),
        optional("error_type", sa.Text()),
        optional("error_message", sa.Text()),
        optional("result", JSONB()),
        optional("kafka_topic", sa.String(249)),
        optional("kafka_generation", sa.Integer()),
        optional("kafka_partition", sa.Integer()),
        optional("kafka_offset", sa.BigInteger()),
        optional("message_key", sa.LargeBinary()),
        instant("message_time"),
        instant("hidden_at"),
        stamped("created_at"),
        *_job_executions_constraints(),
    )


def _job_executions_constraints() -> tuple[sa.Constraint, ...]:
    return (
        sa.CheckConstraint(
            "(lease_token IS NOT NULL) = (status IN ('QUEUED', 'RUNNING'))",
            name=op.f("ck_job_executions_token_while_launched"),
        ),
        sa.CheckConstraint(
            "jsonb_typeof(params) = 'object'",
            name=op.f("ck_job_executions_params_object"),
        ),
        sa.CheckConstraint(
            "param_source IN ('cron', 'event')",
            name=op.f("ck_job_executions_param_source"),
        ),
        sa.CheckConstraint(
            "status IN ('PENDING', 'QUEUED', 'RUNNING',"
            " 'SUCCESS', 'FAILED', 'TIMEOUT', 'CANCELED')",
            name=op.f("ck_job_executions_status"),
        ),
        sa.CheckConstraint(
            "trigger IN ('schedule', 'event', 'manual', 'retry', 'redrive', 'backfill', 'replay')",
            name=op.f("ck_job_executions_trigger"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["cron_jobs.id"],
            name=op.f("fk_job_executions_job_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_executions")),
    )


def _index_job_executions() -> None:
    unfinished = "status IN ('PENDING', 'QUEUED', 'RUNNING')"
    launched = "status IN ('QUEUED', 'RUNNING')"
    indexes: dict[str, tuple[list[str | sa.ColumnElement[object]], str | None]] = {
        "active_job": (["job_id"], unfinished),
        "claim": ([sa.literal_column("priority DESC"), "id"], "status = 'PENDING'"),
        "in_flight": (["lease_token"], launched),
        "job_history": (["job_id", sa.literal_column("id DESC")], None),
        "kafka": (
            ["kafka_topic", "kafka_generation", "kafka_partition", "kafka_offset"],
            "kafka_topic IS NOT NULL",
        ),
        "run": (["run_id"], "run_id IS NOT NULL"),
        "serial_unfinished": (["serial_key", "id"], f"serial_key IS NOT NULL AND {unfinished}"),
    }
    for name, (columns, where) in indexes.items():
        op.create_index(
            f"ix_job_executions_{name}",
            "job_executions",
            columns,
            postgresql_where=None if where is None else sa.text(where),
        )
    op.create_index("uq_job_executions_dedupe_key", "job_executions", ["dedupe_key"], unique=True)
    op.create_index(
        "uq_job_executions_serial_in_flight",
        "job_executions",
        ["serial_key"],
        unique=True,
        postgresql_where=sa.text(f"serial_key IS NOT NULL AND {launched}"),
    )


def _create_positions() -> None:
    op.create_table(
        "kafka_positions",
        required("group_id", sa.String(255)),
        required("topic", sa.String(249)),
        required("generation", sa.Integer()),
        required("partition", sa.Integer()),
        optional("cluster_id", sa.Text()),
        optional("topic_id", sa.Text()),
        required("start_offset", sa.BigInteger()),
        required("next_offset", sa.BigInteger()),
        stamped("updated_at"),
        sa.CheckConstraint(
            "next_offset >= start_offset AND start_offset >= 0",
            name=op.f("ck_kafka_positions_offsets"),
        ),
        sa.PrimaryKeyConstraint(*_PARTITION, name=op.f("pk_kafka_positions")),
    )
    op.create_table(
        "offset_gaps",
        required("group_id", sa.String(255)),
        required("topic", sa.String(249)),
        required("generation", sa.Integer()),
        required("partition", sa.Integer()),
        required("from_offset", sa.BigInteger()),
        required("to_offset", sa.BigInteger()),
        stamped("decided_at"),
        sa.CheckConstraint("to_offset > from_offset", name=op.f("ck_offset_gaps_offsets")),
        sa.PrimaryKeyConstraint(*_PARTITION, "from_offset", name=op.f("pk_offset_gaps")),
    )


def _create_dead_letters() -> None:
    op.create_table(
        "dead_letters",
        required("id", sa.UUID()),
        required("group_id", sa.String(255)),
        required("topic", sa.String(249)),
        required("generation", sa.Integer()),
        required("partition", sa.Integer()),
        required("offset", sa.BigInteger()),
        required("stage", sa.String(20)),
        required("code", sa.String(64)),
        required("message", sa.Text()),
        optional("key", sa.LargeBinary()),
        optional("value", sa.LargeBinary()),
        document("headers", "[]"),
        instant("message_time"),
        defaulted("status", sa.String(20), "'open'"),
        optional("execution_id", sa.BigInteger()),
        number("redrive_count", 0),
        optional("edited_payload", sa.LargeBinary()),
        stamped("created_at"),
        sa.CheckConstraint(
            "stage IN ('decode', 'validate', 'resolve', 'insert')",
            name=op.f("ck_dead_letters_stage"),
        ),
        sa.CheckConstraint(
            "status IN ('open', 'redriven', 'discarded')",
            name=op.f("ck_dead_letters_status"),
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["job_executions.id"],
            name=op.f("fk_dead_letters_execution_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint(*_PARTITION, "offset", name="uq_dead_letters_coordinates"),
    )
    op.create_index(
        "ix_dead_letters_open",
        "dead_letters",
        [sa.literal_column("created_at DESC")],
        postgresql_where=sa.text("status = 'open'"),
    )


def _create_dispatch_skips() -> None:
    op.create_table(
        "dispatch_skips",
        required("job_id", sa.BigInteger()),
        required("scheduled_time", sa.DateTime(timezone=True)),
        instant("until"),
        number("count", 1),
        required("reason", sa.String(32)),
        optional("detail", sa.Text()),
        required("revision", sa.Integer()),
        stamped("decided_at"),
        sa.CheckConstraint(
            "reason IN ('overlap', 'misfired', 'coalesced', 'disabled',"
            " 'gap', 'handler_unknown', 'invalid')",
            name=op.f("ck_dispatch_skips_reason"),
        ),
        sa.CheckConstraint("count > 0", name=op.f("ck_dispatch_skips_count")),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["cron_jobs.id"],
            name=op.f("fk_dispatch_skips_job_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "scheduled_time", name=op.f("pk_dispatch_skips")),
    )


def _create_workers() -> None:
    op.create_table(
        "workers",
        required("id", sa.String(255)),
        required("host", sa.String(255)),
        required("main_pid", sa.Integer()),
        required("slots", sa.Integer()),
        required("code_version", sa.String(64)),
        defaulted("draining", sa.Boolean(), "false"),
        stamped("started_at"),
        stamped("heartbeat_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )


def _create_records() -> None:
    op.create_table(
        "jobu_meta",
        required("key", sa.String(64)),
        required("value", sa.Text()),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_jobu_meta")),
    )
    op.create_table(
        "audit_log",
        identity(),
        required("who", sa.Text()),
        required("what", sa.String(64)),
        required("subject", sa.Text()),
        optional("before", JSONB()),
        optional("after", JSONB()),
        stamped("at"),
        optional("why", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
