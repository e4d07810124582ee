"""The records that travel between the rooms.

Times are split the way the store keeps them: `minute` counts whole minutes since 1970-01-01T00:00Z, `millisecond`
counts from the start of that minute (0 to 59,999). Token counts are whole numbers; None means "not reported", never 0.
"""

from decimal import Decimal
from enum import IntEnum
from typing import Literal

from msgspec import Struct

MAX_COUNT = 2**53
"""The largest count taken at its word: above it JSON numbers are no longer exact in most writers."""


class Cause(IntEnum):
    """Which limit a refused request (status 429) ran into, as far as the response says."""

    UNKNOWN = 0
    TOKENS = 1
    REQUESTS = 2
    CAPACITY = 3


class UsageEvent(Struct, frozen=True, kw_only=True, gc=False):
    """One answered or refused request.

    `identity` is what the response calls itself (completion id, else request id); None means that only the place of
    the record in its object tells it from others. `endpoint` is a URL or host, as logged. `model` is what the record
    or its body says; `requested_model` what the caller asked for, which on Azure often names the deployment.
    """

    minute: int
    millisecond: int
    identity: str | None = None
    workspace: str | None = None
    deployment: str | None = None
    model: str | None = None
    requested_model: str | None = None
    endpoint: str | None = None
    status: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    max_tokens: int | None = None
    retry_after_ms: int | None = None
    cause: Cause = Cause.UNKNOWN


class Ignored(Struct, frozen=True, gc=False):
    """A record that was understood and is deliberately not counted; `reason` comes from a small fixed set."""

    reason: str


class Rejected(Struct, frozen=True, gc=False):
    """A record that could not be understood; `reason` never quotes the record's text."""

    reason: str


Outcome = UsageEvent | Ignored | Rejected

Yield = Literal["events", "minutes", "charges", "resources"]
"""What a source yields: single requests, sums of them by minute, what was billed, or what there is."""

MeterClass = Literal["input", "output", "cache", "fine-tuning", "hosting", "other"]


class Charge(Struct, frozen=True, kw_only=True):
    """What was billed for one meter in one charge period; fields take their FOCUS names.

    `billed_cost` is exact, as written by the biller. `consumed_quantity` is in single units (tokens, hours): the quoted
    quantity times the block size of `pricing_unit`; None where the unit is not known. `charge_period_start` is the UTC
    day, in days since 1970-01-01. `sub_account_id` is the subscription's GUID in lower case, `resource_id` is in lower
    case. `plan` is the Marketplace plan, where the row has it apart from the meter's name.
    """

    charge_period_start: int
    billed_cost: Decimal
    billing_currency: str
    meter: MeterClass
    meter_name: str = ""
    pricing_quantity: Decimal | None = None
    pricing_unit: str = ""
    consumed_quantity: Decimal | None = None
    resource_id: str = ""
    sub_account_id: str = ""
    billing_account_id: str = ""
    publisher_name: str = ""
    plan: str = ""
    charge_category: str = ""
    model: str | None = None
    marketplace: bool = False


def scope_of(sub_account_id: str, billing_account_id: str) -> str:
    """Return the scope in which a charge is replaced: its subscription, else its billing account, else ''."""
    return sub_account_id or billing_account_id


class Price(Struct, frozen=True, kw_only=True):
    """What one meter of a model costs from a UTC day on: `amount` per `per` tokens, as quoted."""

    model: str
    meter: MeterClass
    amount: Decimal
    per: int
    currency: str
    effective_from: int
    source: str


class Quota(Struct, frozen=True, kw_only=True):
    """The limits of one deployment from a UTC day on (days since 1970-01-01)."""

    tokens_per_minute: int
    requests_per_minute: int
    effective_from: int
    source: str


class Place(Struct, frozen=True):
    """Where a record says it was answered, before settings and inventory are asked."""

    workspace: str | None
    deployment: str | None
    model: str | None
    endpoint: str | None
    requested_model: str | None
