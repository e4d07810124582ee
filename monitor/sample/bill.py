"""The sample's cost export: what Azure billed for its week, as an actual-cost CSV of an enterprise agreement.

It fits the logs as bills do: calls that no log has seen add up to half a percent, the last day is not billed yet, one
resource belongs to nobody, and other services stand between the models.
"""

import csv
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from io import StringIO
from typing import Any

from monitor.folders import folder
from monitor.sample.traffic import WEEK, seeded

SUBSCRIPTION = "3d9f1c62-0b7e-4c4d-9a55-6e2f8b1d7a40"
BILLED_DAYS = WEEK[:-1]

PER_THOUSAND = {
    "mistral-large-2407": (Decimal("0.002"), Decimal("0.006")),
    "mistral-nemo": (Decimal("0.00015"), Decimal("0.00015")),
    "mistral-small": (Decimal("0.001"), Decimal("0.003")),
    "ministral-3b": (Decimal("0.00004"), Decimal("0.00004")),
    "mistral-contracts-preview": (Decimal("0.0012"), Decimal("0.0036")),
}
"""US dollars per thousand tokens read and written."""

NOBODYS = {
    "workspace": "experiments",
    "name": "",
    "model": "mistral-large-2407",
    "saas_resource": "mistral-large-2407-e0a4c7d95f1b4286b3c8d2e7f6a1905c",
}
NOBODYS_TOKENS = ((1_840_000, 212_000), (2_310_000, 268_000), (655_000, 71_000))


Tokens = dict[tuple[str, date], tuple[int, int]]
"""Tokens read and written, by deployment and UTC day."""


def export(deployments: Iterable[dict[str, Any]], tokens: Tokens) -> bytes:
    """Write the export; `deployments` are the tables of the sample's settings."""
    out = StringIO()
    # The header of an enterprise agreement's export, as Microsoft's FinOps toolkit tests it.
    columns = (folder("data") / "demo-export-header.csv").read_text("utf-8").strip().split(",")
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    for row in _rows(list(deployments), tokens):
        writer.writerow(_ACCOUNT | row)
    return b"\xef\xbb\xbf" + out.getvalue().encode()


_ACCOUNT = {
    "BillingAccountId": "70000001",
    "BillingAccountName": "Sample Enrollment",
    "BillingPeriodStartDate": "11/01/2026",
    "BillingPeriodEndDate": "11/30/2026",
    "BillingProfileId": "70000001",
    "BillingProfileName": "Sample Enrollment",
    "AccountName": "Platform",
    "SubscriptionId": SUBSCRIPTION,
    "SubscriptionName": "ML Platform",
    "BillingCurrency": "USD",
    "ChargeType": "Usage",
    "Frequency": "UsageBased",
    "PricingModel": "OnDemand",
}


def _rows(deployments: list[dict[str, Any]], tokens: Tokens) -> Iterator[dict[str, str]]:
    for number, day in enumerate(BILLED_DAYS):
        for deployment in deployments:
            read, written = tokens[deployment["name"], day]
            yield from _meters(deployment, day, _seen_by_azure(deployment, day, read, written))
        if number < len(NOBODYS_TOKENS):
            yield from _meters(NOBODYS, day, NOBODYS_TOKENS[number])
        yield _other_service(day)


def _seen_by_azure(deployment: dict[str, Any], day: date, read: int, written: int) -> tuple[int, int]:
    """Add the calls that no log has seen: up to half a percent."""
    unseen = int(seeded(f"bill {deployment['name']} {day}").random() * 50)
    return read * (10_000 + unseen) // 10_000, written * (10_000 + unseen) // 10_000


def _meters(deployment: dict[str, Any], day: date, tokens: tuple[int, int]) -> Iterator[dict[str, str]]:
    prices = PER_THOUSAND[deployment["model"]]
    for direction, count, price in zip(("input", "output"), tokens, prices, strict=True):
        if count:
            yield _charge(deployment, day, f"paygo-inference-{direction}-tokens", Decimal(count) / 1000, price)


def _charge(deployment: dict[str, Any], day: date, meter: str, quantity: Decimal, price: Decimal) -> dict[str, str]:
    group, resource, plan = f"rg-{deployment['workspace']}", deployment["saas_resource"], f"{deployment['model']}-plan"
    product = deployment["model"].replace("-", " ").title()
    parent = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.SaaS/resources"
    return {
        "Date": f"{day:%m/%d/%Y}",
        "Product": product,
        "MeterCategory": "SaaS",
        "MeterName": f"{product} - {plan} - {meter}",
        "Quantity": f"{quantity:f}",
        "EffectivePrice": f"{price:f}",
        "UnitPrice": f"{price:f}",
        "Cost": f"{quantity * price:f}",
        "ConsumedService": "Microsoft.SaaS",
        "ResourceId": f"{parent}/{resource}",
        "ResourceName": resource,
        "ResourceGroup": group,
        "UnitOfMeasure": "1K",
        "PublisherName": "Mistral AI",
        "PlanName": plan,
        "PublisherType": "Marketplace",
    }


def _other_service(day: date) -> dict[str, str]:
    """A charge of the same bill that has nothing to do with models."""
    account = "/providers/Microsoft.Storage/storageAccounts/searchlogs"
    return {
        "Date": f"{day:%m/%d/%Y}",
        "Product": "Tiered Block Blob - Hot LRS - US East 2",
        "ServiceFamily": "Storage",
        "MeterCategory": "Storage",
        "MeterSubCategory": "Tiered Block Blob",
        "MeterName": "Hot LRS Data Stored",
        "Quantity": "0.41",
        "EffectivePrice": "0.0184",
        "UnitPrice": "0.0184",
        "Cost": "0.007544",
        "ConsumedService": "Microsoft.Storage",
        "ResourceLocation": "eastus2",
        "ResourceId": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-search-prod{account}",
        "ResourceName": "searchlogs",
        "ResourceGroup": "rg-search-prod",
        "UnitOfMeasure": "1 GB/Month",
        "PublisherName": "Microsoft",
        "PublisherType": "Azure",
    }
