"""The schema, as SQLAlchemy Core tables. Migrations build it; a test proves that both say the same.

Money columns hold 1e-9 units of the currency, their `_remainder` the rest in 1e-20 units (monitor.domain.money).
Days and minutes are whole numbers since 1970-01-01 (monitor.domain.period); instants are `Instant`.
Text that is not known is '' inside unique keys, so that both engines treat it alike.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, SmallInteger, Table, Text

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware UTC instant, kept as whole microseconds since 1970: the same and sortable on every engine."""

    impl = BigInteger
    cache_ok = True
    _epoch = datetime(1970, 1, 1, tzinfo=UTC)

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        """Refuse naive times; they are how hours get lost."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        difference = value - self._epoch
        return (difference.days * 86_400 + difference.seconds) * 1_000_000 + difference.microseconds

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        """Give the instant back aware, in UTC."""
        if value is None:
            return None
        seconds, microseconds = divmod(value, 1_000_000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)


def _without_rowid() -> dict[str, Any]:
    return {"sqlite_with_rowid": False}


# What there is ------------------------------------------------------------------------------------------------------

workspace = Table(
    "workspace",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("cost_center", Text),
    Column("region", Text),
    Column("budget_monthly", BigInteger),
    Column("budget_currency", Text),
    Column("recorded_from", Text, nullable=False),
)

deployment = Table(
    "deployment",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("workspace_id", ForeignKey("workspace.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("model", Text, nullable=False),
    # Azure frees a deleted endpoint's name for reuse; the time of creation tells its bearers apart. 0: not known.
    Column("created_at", BigInteger, nullable=False),
    Column("endpoint", Text),
    # The id by which Azure Resource Manager knows it, in lower case; null where inventory has not found it.
    Column("resource_id", Text),
    Column("saas_resource", Text),
    Column("recorded_from", Text, nullable=False),
    sa.UniqueConstraint("workspace_id", "name", "region", "model", "created_at"),
)

quota = Table(
    "quota",
    metadata,
    Column("deployment_id", ForeignKey("deployment.id"), primary_key=True),
    Column("effective_from", Integer, primary_key=True),
    Column("tokens_per_minute", BigInteger, nullable=False),
    Column("requests_per_minute", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
)

price = Table(
    "price",
    metadata,
    Column("model", Text, primary_key=True),
    Column("meter", Text, primary_key=True),
    Column("effective_from", Integer, primary_key=True),
    Column("recorded_from", Text, primary_key=True),
    Column("amount", Text, nullable=False),
    Column("per", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("source", Text, nullable=False),
)

source = Table(
    "source",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    # What it yields (monitor.domain.records.Yield): only what is read as events can be proven by them.
    Column("yields", Text, nullable=False),
    # Among sources that saw the same deployment on the same day, the lowest authority is believed (invariant 7).
    Column("authority", Integer, nullable=False),
    Column("read", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("ignored", BigInteger, nullable=False),
    Column("quarantined", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("collected_at", Instant),
)

ignored_record = Table(
    "ignored_record",
    metadata,
    Column("source_id", ForeignKey("source.id"), primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("records", BigInteger, nullable=False),
)

# What was used ------------------------------------------------------------------------------------------------------

usage_event = Table(
    "usage_event",
    metadata,
    Column("minute", Integer, primary_key=True, autoincrement=False),
    # 63 bits of a hash over the source's name and the request's identity: what makes a duplicate a duplicate.
    Column("identity", BigInteger, primary_key=True, autoincrement=False),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("max_tokens", BigInteger),
    Column("retry_after_ms", BigInteger),
    Column("deployment_id", Integer, nullable=False),
    Column("millisecond", Integer, nullable=False),
    Column("source_id", SmallInteger, nullable=False),
    Column("status", SmallInteger),
    Column("cause", SmallInteger, nullable=False),
    **_without_rowid(),
)

SUMMED = (
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
)
"""The columns of a rollup that add up: a day is the sum of its minutes, a minute the sum of its events.

`requests` counts every event; `throttled_requests` those with status 429, of which the three `throttled_by_` say why as
far as it is known; `failed_requests` those with another status from 400 on; `unmeasured_requests` those that succeeded
(or whose status is unknown) without reporting both token counts.
"""


def _rollup_columns() -> list[Column[int]]:
    sums = [Column(name, BigInteger, nullable=False) for name in SUMMED]
    return [*sums, Column("longest_retry_after_ms", BigInteger, nullable=False)]


usage_minute = Table(
    "usage_minute",
    metadata,
    Column("deployment_id", Integer, primary_key=True, autoincrement=False),
    Column("source_id", SmallInteger, primary_key=True, autoincrement=False),
    Column("minute", Integer, primary_key=True, autoincrement=False),
    *_rollup_columns(),
    **_without_rowid(),
)
Index(
    "ix_usage_minute_throttled",
    usage_minute.c.minute,
    sqlite_where=usage_minute.c.throttled_requests > 0,
    postgresql_where=usage_minute.c.throttled_requests > 0,
)

usage_day = Table(
    "usage_day",
    metadata,
    Column("deployment_id", Integer, primary_key=True, autoincrement=False),
    Column("source_id", SmallInteger, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    *_rollup_columns(),
    # The day's busiest minutes (monitor.domain.quota.Busiest); null while newer events await `settle_days`.
    Column("busiest", LargeBinary),
    **_without_rowid(),
)
Index("ix_usage_day_day", usage_day.c.day)

# What was billed ----------------------------------------------------------------------------------------------------

cost_pull = Table(
    "cost_pull",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source_id", ForeignKey("source.id"), nullable=False),
    Column("object", Text, nullable=False),
    # sha256 of what was read and how: an object that stays as it was says nothing new.
    Column("fingerprint", Text, nullable=False),
    # When the biller wrote it, in nanoseconds since 1970: of two pulls the one written later is right, whichever came
    # later.
    Column("written_at", BigInteger, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("first_day", Integer),
    Column("last_day", Integer),
    Column("rows", BigInteger, nullable=False),
)
Index("ix_cost_pull_object", cost_pull.c.source_id, cost_pull.c.object)

cost_day = Table(
    "cost_day",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("pull_id", ForeignKey("cost_pull.id"), primary_key=True),
    # The pull that said the same last: what is written after it is newer, and what is written before it is not.
    Column("confirmed_by", ForeignKey("cost_pull.id"), nullable=False),
    # Over the day's charges in any order: a day that says the same again is not recorded again.
    Column("fingerprint", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("superseded_at", Instant),
    Column("rows", BigInteger, nullable=False),
)

charged_resource = Table(
    "charged_resource",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("resource_id", Text, nullable=False),
    # An account of Foundry bills every model deployed on it: '' where the charge names none.
    Column("model", Text, nullable=False),
    # Plan and meter of its first charge: they name the offer's plan, by which inventory knows the workspace.
    Column("described_as", Text, nullable=False),
    # Who uses what the resource bills, and why we believe so; null: unattributed.
    Column("deployment_id", ForeignKey("deployment.id")),
    Column("attribution", Text),
    sa.UniqueConstraint("resource_id", "model"),
)

charge = Table(
    "charge",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("pull_id", ForeignKey("cost_pull.id"), nullable=False),
    Column("resource", ForeignKey("charged_resource.id"), nullable=False),
    Column("scope", Text, nullable=False),
    Column("charge_period_start", Integer, nullable=False),
    Column("meter", Text, nullable=False),
    Column("meter_name", Text, nullable=False),
    Column("model", Text),
    Column("marketplace", Boolean, nullable=False),
    Column("billed_cost", BigInteger, nullable=False),
    Column("billed_cost_remainder", BigInteger, nullable=False),
    Column("billed_cost_text", Text, nullable=False),
    Column("billing_currency", Text, nullable=False),
    # Single units (tokens, hours) in 1e-6; null where the unit is not known.
    Column("consumed_quantity", BigInteger),
    Column("pricing_quantity_text", Text),
    Column("pricing_unit", Text, nullable=False),
    Column("sub_account_id", Text, nullable=False),
    Column("billing_account_id", Text, nullable=False),
    Column("publisher_name", Text, nullable=False),
    Column("charge_category", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("superseded_at", Instant),
)
Index("ix_charge_scope_day", charge.c.scope, charge.c.charge_period_start)
Index("ix_charge_day", charge.c.charge_period_start)

charge_map = Table(
    "charge_map",
    metadata,
    # What an operator said by hand (`charges map`): the resource's whole id or its last segment, in lower case.
    Column("resource_id", Text, primary_key=True),
    # Of a resource that bills several models, the one that is meant; '': all of them.
    Column("model", Text, primary_key=True),
    Column("deployment_id", ForeignKey("deployment.id"), nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

# How far we have read -----------------------------------------------------------------------------------------------

cursor = Table(
    "cursor",
    metadata,
    Column("source_id", ForeignKey("source.id"), primary_key=True),
    # One life of one object: its name at first sight and the generation of that name. A file that is renamed keeps them
    # under its new name, one that is replaced gets the next generation; records without an id are told apart by them.
    Column("object", Text, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    # Hashes of the first and of the last 1 KiB before the position: they prove that it is still the same object.
    Column("head", Text, nullable=False),
    Column("tail", Text, nullable=False),
    # What the object looked like when last seen (size and modification time): unchanged ones are not opened again.
    Column("seen", Text, nullable=False),
    Column("collected_at", Instant, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("source_id", ForeignKey("source.id"), nullable=False),
    Column("object", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    sa.UniqueConstraint("source_id", "object", "generation", "position"),
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# What Azure has, and what may be asked of it ------------------------------------------------------------------------

azure_resource = Table(
    "azure_resource",
    metadata,
    # One state of one resource: from when it was first seen so until it was seen otherwise, or no longer.
    Column("resource_id", Text, primary_key=True),
    Column("recorded_at", Instant, primary_key=True),
    Column("superseded_at", Instant),
    Column("source_id", ForeignKey("source.id"), nullable=False),
    # monitor.domain.inventory.Kind
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("region", Text, nullable=False),
    # The resource it belongs to: a deployment's workspace or account, a subscription's workspace.
    Column("parent", Text, nullable=False),
    # What else is known of it, as a JSON object.
    Column("attributes", Text, nullable=False),
)

deployment_resource = Table(
    "deployment_resource",
    metadata,
    # Which deployment a resource of Azure's is, while it serves a model: ids change when resources are moved, and a
    # name that was freed may come back with another model.
    Column("resource_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("deployment_id", ForeignKey("deployment.id"), nullable=False),
)

request_made = Table(
    "request_made",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
    # Query processing units, of which Azure counts one for every month of data that is asked for.
    Column("units", Integer, nullable=False),
)
Index("ix_request_made_at", request_made.c.tenant, request_made.c.made_at)

request_pause = Table(
    "request_pause",
    metadata,
    # Azure has asked that nobody asks anything of this tenant or scope before that time.
    Column("tenant", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("until", Instant, nullable=False),
)

# Who does what, and who was told (filled by the scheduler and by alerting) --------------------------------------------

job_run = Table(
    "job_run",
    metadata,
    Column("job", Text, primary_key=True),
    Column("slot", Instant, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("claimed_at", Instant, nullable=False),
    Column("heartbeat_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("outcome", Text),
)

alert = Table(
    "alert",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("value", Text),
    Column("since", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

alert_change = Table(
    "alert_change",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", Text, nullable=False, index=True),
    Column("state_before", Text, nullable=False),
    Column("state_after", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("idempotency_key", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Instant),
    Column("delivered_at", Instant),
    Column("error", Text),
)

silence = Table(
    "silence",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("matchers", Text, nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("comment", Text, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("recorded_at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
)
