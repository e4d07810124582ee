"""The first schema: everything of monitor.store.tables as it was released first.

Names of keys and constraints follow the convention of the tables' metadata, which `env.py` hands to Alembic.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "workspace",
    "deployment",
    "quota",
    "price",
    "source",
    "ignored_record",
    "usage_event",
    "usage_minute",
    "usage_day",
    "cost_pull",
    "cost_day",
    "charged_resource",
    "charge",
    "charge_map",
    "cursor",
    "quarantine",
    "meta",
    "azure_resource",
    "deployment_resource",
    "request_made",
    "request_pause",
    "alert",
    "alert_change",
    "silence",
    "job_run",
    "outbox",
    "audit",
)

SUMS = (
    "requests",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "failed_requests",
    "throttled_requests",
    "throttled_by_tokens",
    "throttled_by_requests",
    "throttled_by_capacity",
    "unmeasured_requests",
    "longest_retry_after_ms",
)


def upgrade() -> None:
    """Make all tables."""
    _what_there_is()
    _sources()
    _usage()
    _pulls()
    _charges()
    _reading()
    _azure()
    _alerts()
    _work()


def downgrade() -> None:
    """Drop all tables."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _sums() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in SUMS]


def _what_there_is() -> None:
    op.create_table(
        "workspace",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("cost_center", sa.Text),
        sa.Column("region", sa.Text),
        sa.Column("budget_monthly", sa.BigInteger),
        sa.Column("budget_currency", sa.Text),
        sa.Column("recorded_from", sa.Text, nullable=False),
    )
    op.create_table(
        "deployment",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("workspace_id", sa.Integer, sa.ForeignKey("workspace.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("endpoint", sa.Text),
        sa.Column("resource_id", sa.Text),
        sa.Column("saas_resource", sa.Text),
        sa.Column("recorded_from", sa.Text, nullable=False),
        sa.UniqueConstraint("workspace_id", "name", "region", "model", "created_at"),
    )
    op.create_table(
        "quota",
        sa.Column("deployment_id", sa.Integer, sa.ForeignKey("deployment.id"), primary_key=True),
        sa.Column("effective_from", sa.Integer, primary_key=True),
        sa.Column("tokens_per_minute", sa.BigInteger, nullable=False),
        sa.Column("requests_per_minute", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
    )
    op.create_table(
        "price",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("meter", sa.Text, primary_key=True),
        sa.Column("effective_from", sa.Integer, primary_key=True),
        sa.Column("recorded_from", sa.Text, primary_key=True),
        sa.Column("amount", sa.Text, nullable=False),
        sa.Column("per", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
    )


def _sources() -> None:
    op.create_table(
        "source",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("yields", sa.Text, nullable=False),
        sa.Column("authority", sa.Integer, nullable=False),
        sa.Column("read", sa.BigInteger, nullable=False),
        sa.Column("stored", sa.BigInteger, nullable=False),
        sa.Column("duplicates", sa.BigInteger, nullable=False),
        sa.Column("ignored", sa.BigInteger, nullable=False),
        sa.Column("quarantined", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("collected_at", sa.BigInteger),
    )
    op.create_table(
        "ignored_record",
        sa.Column("source_id", sa.Integer, sa.ForeignKey("source.id"), primary_key=True),
        sa.Column("reason", sa.Text, primary_key=True),
        sa.Column("records", sa.BigInteger, nullable=False),
    )


def _usage() -> None:
    op.create_table(
        "usage_event",
        sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("identity", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("prompt_tokens", sa.BigInteger),
        sa.Column("completion_tokens", sa.BigInteger),
        sa.Column("cached_tokens", sa.BigInteger),
        sa.Column("max_tokens", sa.BigInteger),
        sa.Column("retry_after_ms", sa.BigInteger),
        sa.Column("deployment_id", sa.Integer, nullable=False),
        sa.Column("millisecond", sa.Integer, nullable=False),
        sa.Column("source_id", sa.SmallInteger, nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("cause", sa.SmallInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_minute",
        sa.Column("deployment_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("source_id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
        *_sums(),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_usage_minute_throttled",
        "usage_minute",
        ["minute"],
        sqlite_where=sa.text("throttled_requests > 0"),
        postgresql_where=sa.text("throttled_requests > 0"),
    )
    op.create_table(
        "usage_day",
        sa.Column("deployment_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("source_id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        *_sums(),
        sa.Column("busiest", sa.LargeBinary),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_usage_day_day", "usage_day", ["day"])


def _pulls() -> None:
    op.create_table(
        "cost_pull",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source_id", sa.Integer, sa.ForeignKey("source.id"), nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("written_at", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("first_day", sa.Integer),
        sa.Column("last_day", sa.Integer),
        sa.Column("rows", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_cost_pull_object", "cost_pull", ["source_id", "object"])
    op.create_table(
        "cost_day",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("pull_id", sa.Integer, sa.ForeignKey("cost_pull.id"), primary_key=True),
        sa.Column("confirmed_by", sa.Integer, sa.ForeignKey("cost_pull.id"), nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("superseded_at", sa.BigInteger),
        sa.Column("rows", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "charged_resource",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("resource_id", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("described_as", sa.Text, nullable=False),
        sa.Column("deployment_id", sa.Integer, sa.ForeignKey("deployment.id")),
        sa.Column("attribution", sa.Text),
        sa.UniqueConstraint("resource_id", "model"),
    )


def _charges() -> None:
    op.create_table(
        "charge",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("pull_id", sa.Integer, sa.ForeignKey("cost_pull.id"), nullable=False),
        sa.Column("resource", sa.Integer, sa.ForeignKey("charged_resource.id"), nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("charge_period_start", sa.Integer, nullable=False),
        sa.Column("meter", sa.Text, nullable=False),
        sa.Column("meter_name", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("marketplace", sa.Boolean, nullable=False),
        sa.Column("billed_cost", sa.BigInteger, nullable=False),
        sa.Column("billed_cost_remainder", sa.BigInteger, nullable=False),
        sa.Column("billed_cost_text", sa.Text, nullable=False),
        sa.Column("billing_currency", sa.Text, nullable=False),
        sa.Column("consumed_quantity", sa.BigInteger),
        sa.Column("pricing_quantity_text", sa.Text),
        sa.Column("pricing_unit", sa.Text, nullable=False),
        sa.Column("sub_account_id", sa.Text, nullable=False),
        sa.Column("billing_account_id", sa.Text, nullable=False),
        sa.Column("publisher_name", sa.Text, nullable=False),
        sa.Column("charge_category", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("superseded_at", sa.BigInteger),
    )
    op.create_index("ix_charge_day", "charge", ["charge_period_start"])
    op.create_index("ix_charge_scope_day", "charge", ["scope", "charge_period_start"])
    op.create_table(
        "charge_map",
        sa.Column("resource_id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("deployment_id", sa.Integer, sa.ForeignKey("deployment.id"), nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
    )


def _reading() -> None:
    op.create_table(
        "cursor",
        sa.Column("source_id", sa.Integer, sa.ForeignKey("source.id"), primary_key=True),
        sa.Column("object", sa.Text, primary_key=True),
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("head", sa.Text, nullable=False),
        sa.Column("tail", sa.Text, nullable=False),
        sa.Column("seen", sa.Text, nullable=False),
        sa.Column("collected_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("source_id", sa.Integer, sa.ForeignKey("source.id"), nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("source_id", "object", "generation", "position"),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def _azure() -> None:
    op.create_table(
        "azure_resource",
        sa.Column("resource_id", sa.Text, primary_key=True),
        sa.Column("recorded_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("superseded_at", sa.BigInteger),
        sa.Column("source_id", sa.Integer, sa.ForeignKey("source.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
    )
    op.create_table(
        "deployment_resource",
        sa.Column("resource_id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("deployment_id", sa.Integer, sa.ForeignKey("deployment.id"), nullable=False),
    )
    op.create_table(
        "request_made",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("units", sa.Integer, nullable=False),
    )
    op.create_index("ix_request_made_at", "request_made", ["tenant", "made_at"])
    op.create_table(
        "request_pause",
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
    )


def _alerts() -> None:
    op.create_table(
        "alert",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("value", sa.Text),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "alert_change",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("state_before", sa.Text, nullable=False),
        sa.Column("state_after", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_alert_change_fingerprint", "alert_change", ["fingerprint"])
    op.create_table(
        "silence",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("matchers", sa.Text, nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
    )


def _work() -> None:
    op.create_table(
        "job_run",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("slot", sa.BigInteger, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("claimed_at", sa.BigInteger, nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("outcome", sa.Text),
    )
    op.create_table(
        "outbox",
        sa.Column("idempotency_key", sa.Text, primary_key=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger),
        sa.Column("delivered_at", sa.BigInteger),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
    )
