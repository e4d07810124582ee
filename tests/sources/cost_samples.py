"""Cost exports written for tests, and how tests read them."""

import csv
import gzip
import io
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import reduce
from pathlib import Path

from monitor.domain.money import EXACT
from monitor.domain.period import day_number
from monitor.domain.records import Charge
from monitor.errors import UnreachableError
from monitor.sources.cost_answer import CostAnswer
from monitor.sources.cost_export import Settings, pulls
from monitor.sources.cost_rows import Include
from monitor.sources.request import Request
from tests.azure.sessions import session

GUID = "11111111-12ab-34dc-56ef-123456abcdef"
SAAS = f"/subscriptions/{GUID}/resourceGroups/rg/providers/Microsoft.SaaS/resources/Mistral-Large-2407-1f2e3d4c"
HEADER = ["SubscriptionId", "Date", "MeterCategory", "MeterName", "UnitOfMeasure", "Quantity", "CostInBillingCurrency"]
HEADER += ["BillingCurrency", "ResourceId", "PublisherType", "PublisherName", "ProductName"]
GERMAN = [
    "Abonnement-GUID (SubscriptionGuid)",
    "UsageDateTime (UsageDateTime)",
    "Kategorie der Verbrauchseinheit (MeterCategory)",
    "Name der Verbrauchseinheit (MeterName)",
    "Maßeinheit (UnitOfMeasure)",
    "UsageQuantity (UsageQuantity)",
    "PreTaxCost (PreTaxCost)",
    "Currency",
    "InstanceId (InstanceId)",
    "Herausgebertyp (PublisherType)",
    "Herausgebername (PublisherName)",
    "Produkt (Product)",
]
ONLY_GERMAN = [
    *("Abonnement-GUID", "Datum", "Kategorie der Verbrauchseinheit", "Name der Verbrauchseinheit", "Maßeinheit"),
    *("Menge", "Kosten", "Währung", "ID der Instanz", "Herausgebertyp", "Herausgebername", "Produkt"),
]


def row(day: str = "2024-11-05", cost: str = "0.3", quantity: str = "150", unit: str = "1K", **other: str) -> list[str]:
    fields = {
        "meter": "Mistral Large 2407 - plan - paygo-inference-input-tokens",
        "currency": "USD",
        "resource": SAAS,
        "publisher_type": "Marketplace",
        "publisher": "Mistral AI",
        "product": "Mistral Large 2407",
        "category": "SaaS",
        **other,
    }
    return [
        *(GUID, day, fields["category"], fields["meter"], unit, quantity, cost, fields["currency"], fields["resource"]),
        *(fields["publisher_type"], fields["publisher"], fields["product"]),
    ]


def write(
    path: Path,
    rows: Sequence[Sequence[str]],
    *,
    header: Sequence[str] = HEADER,
    delimiter: str = ",",
    encoding: str = "utf-8",
) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([header, *rows])
    written = text.getvalue().encode(encoding)
    path.write_bytes(gzip.compress(written) if path.suffix == ".gz" else written)
    return path


def read_all(path: Path | str, include: Include = "models") -> list[CostAnswer]:
    settings = Settings(name="costs", kind="cost-export", path=str(path), include=include)
    found = list(pulls(settings, {}, Request(), session()))
    assert not [one for one in found if isinstance(one, UnreachableError)]
    return [one for one in found if isinstance(one, CostAnswer)]


def read(path: Path | str, include: Include = "models") -> CostAnswer:
    (pull,) = read_all(path, include)
    return pull


def total(charges: list[Charge]) -> Decimal:
    return reduce(EXACT.add, (charge.billed_cost for charge in charges), Decimal(0))


def days(pull: CostAnswer) -> list[int]:
    return [charge.charge_period_start for charge in pull.charges]


def november(day: int) -> int:
    return day_number(date(2024, 11, day))
