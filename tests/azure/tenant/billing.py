"""The tenant's bill as Cost Management answers it and as its exports write it."""

import csv
import gzip
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from io import StringIO
from typing import Any

from tests.azure.cost_management import CostRow
from tests.azure.tenant.bills import Bills, Booking, meter_name
from tests.azure.tenant.shape import Deployment, Tenant

EXPORT = "models-daily"
LAST_MONTHS_DAYS = 5
"""Until this day of a month the month before is exported, too."""


def cost_rows(tenant: Tenant, bills: Bills, at: datetime) -> list[CostRow]:
    """Return what the query finds at an instant in all subscriptions but the exported one."""
    rows = []
    for subscription in tenant.queried:
        rows += [_row(tenant.deployments[one.deployment], one) for one in bills.standing(subscription, at)]
        rows += _others(tenant, subscription, at)
    return rows


def exports(tenant: Tenant, bills: Bills, at: datetime) -> dict[str, bytes]:
    """Return the blobs of the export that runs at an instant: each run holds its month from the first day on."""
    yesterday = at.date() - timedelta(days=1)
    months = [at.date().replace(day=1)]
    if at.day <= LAST_MONTHS_DAYS and yesterday >= tenant.first:
        months.insert(0, (months[0] - timedelta(days=1)).replace(day=1))
    rows = [_row(tenant.deployments[one.deployment], one) for one in bills.standing(tenant.exported, at)]
    rows += _others(tenant, tenant.exported, at)
    blobs: dict[str, bytes] = {}
    for month in months:
        blobs |= _run(month, at, [row for row in rows if row.day.replace(day=1) == month])
    return blobs


def _row(deployment: Deployment, one: Booking) -> CostRow:
    return CostRow(
        day=one.day,
        subscription=deployment.subscription,
        resource_group=one.resource.split("/")[4],
        resource_id=one.resource,
        meter=meter_name(deployment, one.meter),
        cost=one.cost,
        quantity=one.quantity,
        currency=one.currency,
        publisher_type="Microsoft" if deployment.foundry else "Marketplace",
        service_name="Foundry Models" if deployment.foundry else "SaaS",
        charge_type="Refund" if one.refund else "Usage",
    )


def _others(tenant: Tenant, subscription: str, at: datetime) -> Iterator[CostRow]:
    """Yield what else a subscription pays for: nothing of ours, but of every day.

    So no day's answer is ever without a row: of such a day what is known stays, for it could be Azure that has forgot.
    """
    for number in range((at.date() - tenant.first).days + 1):
        bought: dict[str, Any] = {
            "day": tenant.first + timedelta(days=number),
            "subscription": subscription,
            "resource_group": "rg-other",
        }
        home = f"/subscriptions/{subscription}/resourcegroups/rg-other/providers"
        yield CostRow(
            **bought,
            resource_id=f"{home}/microsoft.storage/storageaccounts/logs",
            meter="Hot LRS Data Stored",
            cost=Decimal("0.41"),
            publisher_type="Microsoft",
            service_name="Storage",
        )
        yield CostRow(
            **bought,
            resource_id=f"{home}/microsoft.saas/resources/observability",
            meter="Log ingestion - pro",
            cost=Decimal("12.5"),
        )


def _run(month: date, at: datetime, rows: Iterable[CostRow]) -> dict[str, bytes]:
    last = (month + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    run = sha256(f"{month} {at}".encode()).hexdigest()
    folder = f"costs/{EXPORT}/{month:%Y%m%d}-{last:%Y%m%d}/{at:%Y%m%d%H%M}/{run[:8]}-{run[8:12]}-4000-8000-{run[:12]}"
    data = gzip.compress(_csv(rows), mtime=0)
    name = f"{folder}/part_0_0001.csv.gz"
    return {name: data, f"{folder}/manifest.json": json.dumps(_manifest(name, data, (month, last), at, run)).encode()}


def _manifest(name: str, data: bytes, month: tuple[date, date], at: datetime, run: str) -> dict[str, Any]:
    first, last = (datetime.combine(day, time(), UTC).isoformat() for day in month)
    return {
        "manifestVersion": "2024-04-01",
        "byteCount": len(data),
        "blobCount": 1,
        "exportConfig": {
            "exportName": EXPORT,
            "type": "ActualCost",
            "timeFrame": "MonthToDate",
            "granularity": "Daily",
        },
        "deliveryConfig": {"partitionData": True, "fileFormat": "Csv", "compressionMode": "gzip"},
        "runInfo": {
            "executionType": "Scheduled",
            "submittedTime": at.isoformat(),
            "runId": run,
            "startDate": first,
            "endDate": last,
        },
        "blobs": [{"blobName": name, "byteCount": len(data)}],
    }


def _csv(rows: Iterable[CostRow]) -> bytes:
    out = StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        month = row.day.replace(day=1)
        cells = (
            f"{month:%m/%d/%Y}",
            f"{(month + timedelta(days=32)).replace(day=1) - timedelta(days=1):%m/%d/%Y}",
            f"{row.day:%m/%d/%Y}",
            row.subscription,
            row.resource_group,
            row.resource_id,
            row.service_name,
            row.meter,
            row.meter.partition(" - ")[0],
            f"{row.quantity:f}",
            row.unit,
            f"{row.cost:f}",
            row.currency,
            row.charge_type,
            row.publisher_type,
            "microsoft.saas" if row.publisher_type == "Marketplace" else "Microsoft.CognitiveServices",
        )
        writer.writerow(dict(zip(_COLUMNS, cells, strict=True)))
    return b"\xef\xbb\xbf" + out.getvalue().encode()


_COLUMNS = (
    "billingPeriodStartDate",
    "billingPeriodEndDate",
    "date",
    "SubscriptionId",
    "resourceGroupName",
    "ResourceId",
    "meterCategory",
    "meterName",
    "ProductName",
    "quantity",
    "unitOfMeasure",
    "costInBillingCurrency",
    "billingCurrency",
    "chargeType",
    "publisherType",
    "consumedService",
)
"""Some of the columns of a customer agreement's export, in its own writing."""
