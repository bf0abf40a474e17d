"""The whole schema of jobu 0.1: tables, jobu_now(), state check, ledger view."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from jobu_core.store.migrations import sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    op.execute(sql.JOBU_NOW)
    _create_tables()
    op.execute(sql.CHECK_TRANSITION)
    op.execute(sql.TRANSITION_TRIGGER)
    op.execute(sql.DISPATCH_LEDGER)
    op.execute(sql.INSTALLATION)


def _create_tables() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("before", postgresql.JSONB(), nullable=True),
        sa.Column("after", postgresql.JSONB(), nullable=True),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("jobu_now()"),
            nullable=False,
        ),
        sa.Column("why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_table(
        "cron_jobs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("cron_expression", sa.String(length=255), nullable=False),
        sa.Column(
            "timezone",
            sa.String(length=64),
            server_default=sa.text("'UTC'"),
            nullable=False,
        ),
        sa.Column("handler_name", sa.String(length=255), nullable=False),
        sa.Column(
            "handler_params",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "overlap_policy",
            sa.String(length=20),
            server_default=sa.text("'skip'"),
            nullable=False,
        ),
        sa.Column(
            "misfire_policy",
            sa.String(length=20),
            server_default=sa.text("'latest'"),
            nullable=False,
        ),
        sa.Column(
            "misfire_grace_seconds",
            sa.Integer(),
            server_default=sa.text("3600"),
            nullable=False,
        ),
        sa.Column(
            "dst_policy",
            sa.String(length=20),
            server_default=sa.text("'standard'"),
            nullable=False,
        ),
        sa.Column("max_retry", sa.Integer(), server_default=sa.text("3"), nullable=False),
        sa.Column(
            "retry_backoff_seconds",
            sa.Integer(),
            server_default=sa.text("10"),
            nullable=False,
        ),
        sa.Column(
            "timeout_seconds",
            sa.Integer(),
            server_default=sa.text("3600"),
            nullable=False,
        ),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "dispatched_until",
            sa.DateTime(timezone=True),
            server_default=sa.text("jobu_now()"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("jobu_now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("jobu_now()"),
            nullable=False,
        ),
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
            "max_retry >= 0 AND retry_backoff_seconds >= 0 AND timeout_seconds > 0 AND misfire_grace_seconds >= 0",
            name=op.f("ck_cron_jobs_limits"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cron_jobs")),
        sa.UniqueConstraint("name", name=op.f("uq_cron_jobs_name")),
    )
    op.create_index(
        "ix_cron_jobs_dispatch",
        "cron_jobs",
        ["handler_name"],
        unique=False,
        postgresql_where=sa.text("is_enabled"),
    )
    op.create_table(
        "jobu_meta",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_jobu_meta")),
    )
    op.create_table(
        "kafka_positions",
        sa.Column("group_id", sa.String(length=255), nullable=False),
        sa.Column("topic", sa.String(length=249), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("cluster_id", sa.Text(), nullable=True),
        sa.Column("topic_id", sa.Text(), nullable=True),
        sa.Column("start_offset", sa.BigInteger(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("jobu_now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "next_offset >= start_offset AND start_offset >= 0",
            name=op.f("ck_kafka_positions_offsets"),
        ),
        sa.PrimaryKeyConstraint(
            "group_id",
            "topic",
            "generation",
            "partition",
            name=op.f("pk_kafka_positions"),
        ),
    )
    op.create_table(
        "offset_gaps",
        sa.Column("group_id", sa.String(length=255), nullable=False),
        sa.Column("topic", sa.String(length=249), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("from_offset", sa.BigInteger(), nullable=False),
        sa.Column("to_offset", sa.BigInteger(), nullable=False),
        sa.Column(
            "decided_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("jobu_now()"),
            nullable=False,
        ),
        sa.CheckConstraint("to_offset > from_offset", name=op.f("ck_offset_gaps_offsets")),
        sa.PrimaryKeyConstraint(
            "group_id",
            "topic",
            "generation",
            "partition",
            "from_offset",
            name=op.f("pk_offset_gaps"),
        ),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("main_pid", sa.Integer(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("code_version", sa.String(length=64), nullable=False),
        sa.Column("draining", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("jobu_now()"),
            nullable=False,
        ),
        sa.Column(
            "heartbeat_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("jobu_now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "dispatch_skips",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("scheduled_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("count", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column(
            "decided_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("jobu_now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "reason IN ('overlap', 'misfired', 'coalesced', 'disabled', 'gap', 'handler_unknown', 'invalid')",
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
    op.create_table(
        "job_executions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("handler_name", sa.String(length=255), nullable=False),
        sa.Column(
            "params",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("param_source", sa.String(length=20), nullable=False),
        sa.Column("trigger", sa.String(length=20), nullable=False),
        sa.Column("root_execution_id", sa.BigInteger(), nullable=True),
        sa.Column("scheduled_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("interval_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("interval_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "status",
            sa.String(length=20),
            server_default=sa.text("'PENDING'"),
            nullable=False,
        ),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("dedupe_key", sa.Text(), nullable=True),
        sa.Column("serial_key", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.Integer(), server_default=sa.text("4"), nullable=False),
        sa.Column(
            "timeout_seconds",
            sa.Integer(),
            server_default=sa.text("3600"),
            nullable=False,
        ),
        sa.Column(
            "retry_backoff_seconds",
            sa.Integer(),
            server_default=sa.text("10"),
            nullable=False,
        ),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("launch_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.UUID(), nullable=True),
        sa.Column("run_id", sa.String(length=64), nullable=True),
        sa.Column("worker_id", sa.String(length=255), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("progress", postgresql.JSONB(), nullable=True),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("result", postgresql.JSONB(), nullable=True),
        sa.Column("kafka_topic", sa.String(length=249), nullable=True),
        sa.Column("kafka_generation", sa.Integer(), nullable=True),
        sa.Column("kafka_partition", sa.Integer(), nullable=True),
        sa.Column("kafka_offset", sa.BigInteger(), nullable=True),
        sa.Column("message_key", sa.LargeBinary(), nullable=True),
        sa.Column("message_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("jobu_now()"),
            nullable=False,
        ),
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
            "status IN ('PENDING', 'QUEUED', 'RUNNING', 'SUCCESS', 'FAILED', 'TIMEOUT', 'CANCELED')",
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
    op.create_index(
        "ix_job_executions_active_job",
        "job_executions",
        ["job_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('PENDING', 'QUEUED', 'RUNNING')"),
    )
    op.create_index(
        "ix_job_executions_claim",
        "job_executions",
        [sa.literal_column("priority DESC"), "id"],
        unique=False,
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.create_index(
        "ix_job_executions_in_flight",
        "job_executions",
        ["lease_token"],
        unique=False,
        postgresql_where=sa.text("status IN ('QUEUED', 'RUNNING')"),
    )
    op.create_index(
        "ix_job_executions_job_history",
        "job_executions",
        ["job_id", sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "ix_job_executions_kafka",
        "job_executions",
        ["kafka_topic", "kafka_generation", "kafka_partition", "kafka_offset"],
        unique=False,
        postgresql_where=sa.text("kafka_topic IS NOT NULL"),
    )
    op.create_index(
        "ix_job_executions_run",
        "job_executions",
        ["run_id"],
        unique=False,
        postgresql_where=sa.text("run_id IS NOT NULL"),
    )
    op.create_index(
        "ix_job_executions_serial_unfinished",
        "job_executions",
        ["serial_key", "id"],
        unique=False,
        postgresql_where=sa.text(
            "serial_key IS NOT NULL AND status IN ('PENDING', 'QUEUED', 'RUNNING')"
        ),
    )
    op.create_index("uq_job_executions_dedupe_key", "job_executions", ["dedupe_key"], unique=True)
    op.create_index(
        "uq_job_executions_serial_in_flight",
        "job_executions",
        ["serial_key"],
        unique=True,
        postgresql_where=sa.text("serial_key IS NOT NULL AND status IN ('QUEUED', 'RUNNING')"),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("group_id", sa.String(length=255), nullable=False),
        sa.Column("topic", sa.String(length=249), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column(
            "headers",
            postgresql.JSONB(),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("message_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "status",
            sa.String(length=20),
            server_default=sa.text("'open'"),
            nullable=False,
        ),
        sa.Column("execution_id", sa.BigInteger(), nullable=True),
        sa.Column("redrive_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("edited_payload", sa.LargeBinary(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("jobu_now()"),
            nullable=False,
        ),
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
        sa.UniqueConstraint(
            "group_id",
            "topic",
            "generation",
            "partition",
            "offset",
            name="uq_dead_letters_coordinates",
        ),
    )
    op.create_index(
        "ix_dead_letters_open",
        "dead_letters",
        [sa.literal_column("created_at DESC")],
        unique=False,
        postgresql_where=sa.text("status = 'open'"),
    )
