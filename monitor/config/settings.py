"""What can be set: one Struct per table of the settings file; every field is checked where it is declared.

Values reach these Structs already converted (monitor.config). A check that fails raises `Implausible` with the field,
what is wrong and what to write instead; only values that cannot be secrets are quoted.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfoNotFoundError, available_timezones

from msgspec import Struct
from msgspec.structs import force_setattr

from monitor.domain.money import LARGEST
from monitor.domain.period import zone_named
from monitor.domain.records import MeterClass
from monitor.folders import folder
from monitor.sources.azure.cloud import Azure

REGIONS = "azure-regions.txt"
CURRENCIES = "iso-4217.txt"
PRICED_METERS = ("input", "output", "cache", "fine-tuning", "hosting")


class Implausible(ValueError):  # noqa: N818 - it never leaves monitor.config, which turns it into a SettingsError.
    """A value of the right type that cannot be meant: field, what is wrong, what to do."""

    def __init__(self, field: str, what: str, remedy: str) -> None:
        self.field, self.what, self.remedy = field, what, remedy
        super().__init__(f"{field} {what}: {remedy}")


def _at_least(field: str, value: int, least: int) -> None:
    if value < least:
        raise Implausible(field, f"is {value}", f"write a whole number from {least} on")


def _not_negative(field: str, value: Decimal) -> None:
    if not value.is_finite() or not 0 <= value <= LARGEST:
        remedy = f'write a decimal from 0 to {LARGEST:,} in quotes, like "5000.00"'
        raise Implausible(field, "is not an amount of money", remedy)


def _named(table: Struct, *fields: str) -> None:
    for field in fields or ("name",):
        if not getattr(table, field).strip():
            raise Implausible(field, "is empty", "write a name")


def _limits(tokens: int | None, requests: int | None) -> None:
    for field, value in (("tokens_per_minute", tokens), ("requests_per_minute", requests)):
        if value is not None:
            _at_least(field, value, 1)


@cache
def known(file: str) -> frozenset[str]:
    """Return the names in a bundled list: Azure's regions as its APIs write them, or the currencies of ISO 4217."""
    return frozenset((folder("data") / file).read_text("utf-8").split())


def _currency(field: str, code: str) -> None:
    if code not in known(CURRENCIES):
        near = get_close_matches(code.upper(), known(CURRENCIES), n=1)
        raise Implausible(
            field,
            f"{code!r} is not an ISO 4217 currency",
            f"did you mean {near[0]!r}?" if near else "write one like 'USD'",
        )


def _region(name: str | None) -> str | None:
    if name is None:
        return None
    plain = name.replace(" ", "").lower()
    if plain not in known(REGIONS):
        near = get_close_matches(plain, known(REGIONS), n=1)
        raise Implausible(
            "region",
            f"{name!r} is not an Azure region",
            f"did you mean {near[0]!r}?" if near else "write one like 'eastus2'",
        )
    return plain


def zone_remedy(name: str) -> str:
    """Say what to write instead of a time zone that is none: the nearest, whatever the case, else an example."""
    by_lower = {zone.lower(): zone for zone in available_timezones()}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.75)
    return f"did you mean {by_lower[near[0]]!r}?" if near else "write one like 'Europe/Stockholm' or 'UTC'"


def _divides_exactly(number: int) -> bool:
    """Whether a division by the number ends: only factors 2 and 5."""
    if number < 1:
        return False
    for factor in (2, 5):
        while number % factor == 0:
            number //= factor
    return number == 1


class Store(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where everything is kept; events older than `keep_events_days` are dropped, their rollups stay."""

    url: str = "sqlite:///monitor.db"
    keep_events_days: int = 35

    def __post_init__(self) -> None:
        _at_least("keep_events_days", self.keep_events_days, 1)


class Report(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How reports show time and money unless a command says otherwise."""

    timezone: str = "UTC"
    currency: str = "USD"

    def __post_init__(self) -> None:
        try:
            zone_named(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            remedy = zone_remedy(self.timezone)
            raise Implausible("timezone", f"{self.timezone!r} is not a time zone", remedy) from None
        _currency("currency", self.currency)


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a workspace may spend in a calendar month."""

    monthly: Decimal
    currency: str = "USD"

    def __post_init__(self) -> None:
        _not_negative("monthly", self.monthly)
        _currency("currency", self.currency)


class Workspace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workspace as its owners know it."""

    name: str
    cost_center: str | None = None
    region: str | None = None
    budget: Budget | None = None

    def __post_init__(self) -> None:
        _named(self)
        force_setattr(self, "region", _region(self.region))


class Deployment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model deployed in one workspace; limits left out are the model's defaults (200,000 and 1,000 a minute)."""

    workspace: str
    name: str
    model: str
    endpoint: str | None = None
    region: str | None = None
    saas_resource: str | None = None
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None

    def __post_init__(self) -> None:
        _named(self, "workspace", "name", "model")
        force_setattr(self, "region", _region(self.region))
        _limits(self.tokens_per_minute, self.requests_per_minute)


class Quota(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of a deployment from a UTC day on."""

    workspace: str
    deployment: str
    tokens_per_minute: int
    requests_per_minute: int
    effective_from: date

    def __post_init__(self) -> None:
        _named(self, "workspace", "deployment")
        _limits(self.tokens_per_minute, self.requests_per_minute)


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one meter of a model costs from a UTC day on: `amount` per `per` tokens, as quoted."""

    model: str
    meter: MeterClass
    amount: Decimal
    per: int
    currency: str = "USD"
    effective_from: date

    def __post_init__(self) -> None:
        _named(self, "model")
        _not_negative("amount", self.amount)
        _currency("currency", self.currency)
        if self.meter not in PRICED_METERS:
            raise Implausible("meter", f"{self.meter!r} has no price", f"write one of {', '.join(PRICED_METERS)}")
        if not _divides_exactly(self.per):
            raise Implausible("per", "does not divide money exactly", "write 1, 1_000 or 1_000_000")


class Later(Struct, frozen=True, kw_only=True):
    """A table whose kind another version understands; kept as written, its fields are not checked here."""

    name: str = ""
    kind: str = ""
    fields: Mapping[str, Any] = {}


class Settings(Struct, frozen=True, kw_only=True):
    """All settings, checked, with defaults in place.

    `file` is where they were read (None: defaults only) and `folder` what their relative paths were relative to; the
    paths and the store's URL here are already absolute. A member of `sources` is the Settings Struct of its kind, or
    `Later`.
    """

    file: Path | None = None
    folder: Path
    store: Store = Store()
    report: Report = Report()
    sources: tuple[Any, ...] = ()
    workspaces: tuple[Workspace, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    quotas: tuple[Quota, ...] = ()
    prices: tuple[Price, ...] = ()
    rules: tuple[Later, ...] = ()
    channels: tuple[Later, ...] = ()
    azure: Azure = Azure()
