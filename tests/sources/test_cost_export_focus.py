"""Cost exports with FOCUS columns, as CSV and as Parquet."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.sources.cost_samples import GUID, SAAS, november, read, write

FOCUS: dict[str, Any] = {
    "BilledCost": "0.3",
    "EffectiveCost": "0.4",
    "BillingCurrency": "EUR",
    "ChargePeriodStart": "2024-11-05T00:00:00Z",
    "ChargePeriodEnd": "2024-11-06T00:00:00Z",
    "ChargeCategory": "Usage",
    "ConsumedQuantity": "150000",
    "ConsumedUnit": "Tokens",
    "PricingQuantity": "150",
    "PricingUnit": "1K",
    "PricingCurrency": "USD",
    "SubAccountId": f"/subscriptions/{GUID.upper()}",
    "BillingAccountId": "/providers/Microsoft.Billing/billingAccounts/123/billingProfiles/456",
    "PublisherName": "Mistral AI",
    "x_PublisherCategory": "Vendor",
    "x_SkuMeterName": "Mistral Large 2407 - plan - paygo-inference-input-tokens",
    "x_BilledCostInUsd": "99",
    "ResourceId": SAAS,
}


def focus(path: Path, **changed: str) -> Path:
    fields = {**FOCUS, **changed}
    return write(path, [list(fields.values())], header=list(fields))


def test_a_focus_row_is_read_by_its_billed_cost_in_its_billing_currency(tmp_path: Path) -> None:
    charge = read(focus(tmp_path / "a.csv")).charges[0]
    assert (charge.billed_cost, charge.billing_currency) == (Decimal("0.3"), "EUR")
    assert (charge.sub_account_id, charge.billing_account_id) == (GUID, "123")
    assert (charge.consumed_quantity, charge.pricing_quantity) == (Decimal(150_000), Decimal(150))
    assert (charge.meter, charge.model, charge.marketplace) == ("input", "mistral-large-2407", True)


def test_a_marketplace_row_billed_by_its_vendor_costs_what_is_effective(tmp_path: Path) -> None:
    assert read(focus(tmp_path / "a.csv", BilledCost="0.00")).charges[0].billed_cost == Decimal("0.4")
    assert read(focus(tmp_path / "b.csv", BilledCost="0", EffectiveCost="0")).charges[0].billed_cost == 0
    assert read(focus(tmp_path / "c.csv", BilledCost="NULL")).rejected[0].reason == "the cost is absent"
    ours = focus(tmp_path / "d.csv", BilledCost="0", x_PublisherCategory="Cloud Provider", ResourceId="/x")
    assert read(ours, "all").charges[0].billed_cost == 0


def test_a_charge_of_several_days_stays_on_its_first(tmp_path: Path) -> None:
    pull = read(focus(tmp_path / "a.csv", ChargePeriodStart="2024-11-01", ChargePeriodEnd="2024-12-01"))
    assert pull.days == {(GUID, november(1)): 1}


def test_parquet_gives_decimals_exactly_and_doubles_by_their_shortest_text(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    exact = Decimal("12345678901234567.123456789012345678")
    costs = {
        "decimal": pa.array([exact], pa.decimal128(38, 18)),
        "double": pa.array([0.1 + 0.2]),
        "float": pa.array([0.1], pa.float32()),
    }
    found = {}
    for kind, cost in costs.items():
        columns = {name: pa.array([value]) for name, value in FOCUS.items()}
        columns["ChargePeriodStart"] = pa.array([datetime.fromisoformat("2024-11-05T00:00:00+00:00")])
        columns["PricingQuantity"] = pa.array([None], pa.float64())
        columns["BilledCost"] = pa.array([Decimal("0.3")]) if kind == "decimal" else cost
        columns["EffectiveCost"] = cost
        columns["BilledCost" if kind != "decimal" else "ListCost"] = cost
        pq.write_table(pa.table(columns), tmp_path / f"{kind}.parquet")
        charge = read(tmp_path / f"{kind}.parquet").charges[0]
        found[kind] = charge.billed_cost
        assert (charge.charge_period_start, charge.consumed_quantity) == (november(5), Decimal(150_000))
    assert found == {"decimal": Decimal("0.3"), "double": Decimal("0.30000000000000004"), "float": Decimal("0.1")}


def test_a_parquet_row_equals_the_same_row_in_csv(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    cost = Decimal("8999999999.123456789012345678")
    columns = {name: pa.array([value]) for name, value in FOCUS.items()} | {"BilledCost": pa.array([cost])}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", compression="snappy")
    assert read(tmp_path / "a.parquet").charges == read(focus(tmp_path / "a.csv", BilledCost=str(cost))).charges
