"""Cost exports of every family: exact sums, days read in the right order, nothing dropped silently."""

import csv
import gzip
from datetime import date, datetime
from decimal import Decimal
from functools import reduce
from pathlib import Path

import pytest

from monitor.domain.money import EXACT
from monitor.domain.period import day_number
from monitor.domain.records import Charge
from tests.sources.cost_samples import (
    GERMAN,
    GUID,
    HEADER,
    ONLY_GERMAN,
    SAAS,
    days,
    november,
    read,
    row,
    total,
    write,
)

# Recorded exports ---------------------------------------------------------------------------------------------------

RECORDED = {
    "EA_ActualCost_Small.csv": ("Cost", 11),
    "EA_NoRows.csv": ("Cost", 0),
    "koku_azure_camelCased.csv": ("preTaxCost", 3),
    "koku_azure_version_2.csv": ("CostInBillingCurrency", 5),
    "opencost_headersets_BOM.csv": ("PreTaxCost", 0),
    "opencost_headersets_Enterprise.csv": ("CostInBillingCurrency", 1),
    "opencost_headersets_EnterpriseCamel.csv": ("costInBillingCurrency", 1),
    "opencost_headersets_PayAsYouGo.csv": ("PreTaxCost", 1),
    "opencost_values_VirtualMachine.csv": ("costinbillingcurrency", 1),
}


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_export_adds_up_to_the_last_digit(shared_data: Path, name: str) -> None:
    path = shared_data / "costs" / name
    column, count = RECORDED[name]
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    pull = read(path, "all")
    assert total(pull.charges) == reduce(EXACT.add, (Decimal(one[column]) for one in rows if one[column]), Decimal(0))
    assert len(pull.charges) == count
    assert pull.read == len(rows)


@pytest.mark.parametrize("name", RECORDED)
def test_no_recorded_export_has_a_charge_of_a_model_offer(shared_data: Path, name: str) -> None:
    pull = read(shared_data / "costs" / name)
    assert pull.charges == []
    assert pull.rejected == []
    assert pull.read == sum(pull.ignored.values())


def test_the_marketplace_purchase_of_another_service_is_no_charge_of_a_model(shared_data: Path) -> None:
    path = shared_data / "costs" / "koku_azure_version_2.csv"
    assert read(path).ignored == {"not a charge of a model offer": 5}
    bought = next(charge for charge in read(path, "all").charges if charge.marketplace)
    assert (bought.publisher_name, bought.meter, bought.billed_cost) == (
        "OpenShift on Azure testing",
        "other",
        Decimal(0),
    )
    assert (bought.consumed_quantity, bought.charge_category) == (None, "Purchase")


def test_us_dates_and_iso_dates_of_the_recorded_exports_are_read_right(shared_data: Path) -> None:
    costs = shared_data / "costs"
    assert set(days(read(costs / "EA_ActualCost_Small.csv", "all"))) == {
        day_number(date(2023, 9, day)) for day in (4, 5, 21)
    }
    assert days(read(costs / "opencost_headersets_Enterprise.csv", "all")) == [day_number(date(2021, 2, 2))]
    assert days(read(costs / "koku_azure_camelCased.csv", "all")) == [
        day_number(date(2019, 7, day)) for day in (29, 28, 28)
    ]


def test_a_list_of_units_is_no_cost_export_and_the_reason_says_what_is_missing(shared_data: Path) -> None:
    (refused,) = read(shared_data / "costs" / "PricingUnits.csv", "all").rejected
    assert refused.position == 0
    assert refused.reason == "not a cost export: it has no column for the day and no column for the cost"


def test_the_focus_sample_adds_up_by_currency_and_day(shared_data: Path) -> None:
    path = shared_data / "focus" / "focus_sample_1.0_rows1-600.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pull = read(path, "all")
    assert len(pull.charges) == 600
    assert total(pull.charges) == reduce(EXACT.add, (Decimal(one["BilledCost"]) for one in rows))
    assert days(pull) == [day_number(datetime.fromisoformat(one["ChargePeriodStart"]).date()) for one in rows]
    assert {charge.billing_currency for charge in pull.charges} == {"USD"}
    assert sum(charge.consumed_quantity is None for charge in pull.charges) == sum(
        one["ConsumedQuantity"] == "NULL" and one["PricingQuantity"] == "NULL" for one in rows
    )


def test_the_focus_specs_worked_examples_add_up(shared_data: Path) -> None:
    for path in sorted((shared_data / "focus" / "spec-examples").glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        expected = [Decimal(one["BilledCost"].replace("$", "").replace(",", "").strip()) for one in rows]
        assert [charge.billed_cost for charge in read(path, "all").charges] == expected, path.name


# Families, languages, encodings -------------------------------------------------------------------------------------


def test_a_model_charge_carries_all_that_the_row_says(tmp_path: Path) -> None:
    pull = read(write(tmp_path / "a.csv", [row()]))
    assert pull.charges == [
        Charge(
            charge_period_start=november(5),
            billed_cost=Decimal("0.3"),
            billing_currency="USD",
            meter="input",
            meter_name="Mistral Large 2407 - plan - paygo-inference-input-tokens",
            pricing_quantity=Decimal(150),
            pricing_unit="1K",
            consumed_quantity=Decimal(150_000),
            resource_id=SAAS.lower(),
            sub_account_id=GUID,
            publisher_name="Mistral AI",
            model="mistral-large-2407",
            marketplace=True,
        )
    ]
    assert pull.days == {(GUID, november(5)): 1}


@pytest.mark.parametrize("header", [GERMAN, ONLY_GERMAN])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_german_headers_are_understood_in_any_encoding(tmp_path: Path, header: list[str], encoding: str) -> None:
    path = write(tmp_path / "a.csv", [row()], header=header, encoding=encoding)
    assert read(path).charges == read(write(tmp_path / "b.csv", [row()])).charges


def test_headers_that_mix_languages_and_cases_are_understood(tmp_path: Path) -> None:
    header = [
        english.lower() if place % 2 else local
        for place, (english, local) in enumerate(zip(HEADER, GERMAN, strict=True))
    ]
    assert read(write(tmp_path / "a.csv", [row()], header=header)).charges[0].consumed_quantity == 150_000


def test_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [row()[::-1]], header=HEADER[::-1])
    assert read(path).charges == read(write(tmp_path / "b.csv", [row()])).charges


def test_semicolons_bring_decimal_commas(tmp_path: Path) -> None:
    rows = [row("05.11.2024", "1.234,56", "0,5"), row("06.11.2024", "1,5E-07", "1.000")]
    pull = read(write(tmp_path / "a.csv", rows, header=GERMAN, delimiter=";"))
    assert [charge.billed_cost for charge in pull.charges] == [Decimal("1234.56"), Decimal("1.5E-7")]
    assert [charge.pricing_quantity for charge in pull.charges] == [Decimal("0.5"), Decimal(1000)]
    assert days(pull) == [november(5), november(6)]


def test_semicolons_with_decimal_points_are_read_as_points(tmp_path: Path) -> None:
    pull = read(write(tmp_path / "a.csv", [row(cost="1.234"), row(cost="0.0001")], delimiter=";"))
    assert total(pull.charges) == Decimal("1.2341")


def test_a_number_that_could_be_two_is_rejected_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [row(cost="1.234"), row(cost="5")], delimiter=";")
    pull = read(path)
    assert [(one.position, one.reason) for one in pull.rejected] == [
        (2, "the cost is not a number in the form that the export uses")
    ]
    assert total(pull.charges) == 5


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("1e-7", "0.0000001"),
        ("0.00000000000000000001", "0.00000000000000000001"),
        ("-12.5", "-12.5"),
        ("$10,000.00 ", "10000"),
        ("1,234,567", "1234567"),
        (".5", "0.5"),
    ],
)
def test_costs_are_read_digit_for_digit(tmp_path: Path, text: str, cost: str) -> None:
    assert read(write(tmp_path / "a.csv", [row(cost=text)])).charges[0].billed_cost == Decimal(cost)


@pytest.mark.parametrize("text", ["", "NULL", "null", "1,234", "abc", "NaN", "Infinity", "1.2.3", "9000000000"])
def test_a_row_without_a_readable_cost_is_rejected_and_never_zero(tmp_path: Path, text: str) -> None:
    pull = read(write(tmp_path / "a.csv", [row(), row(cost=text)]))
    assert (len(pull.charges), len(pull.rejected), pull.read) == (1, 1, 2)
    assert pull.rejected[0].position == 3


def test_a_row_of_another_service_is_ignored_even_if_its_cost_cannot_be_read(tmp_path: Path) -> None:
    other = row(cost="?", meter="B1s", publisher_type="Azure", resource="/x", category="VM", product="VM", publisher="")
    pull = read(write(tmp_path / "a.csv", [other]))
    assert (pull.rejected, sum(pull.ignored.values())) == ([], 1)


def test_a_missing_currency_is_kept_as_no_currency(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", [row(currency="")])).charges[0].billing_currency == "XXX"


def test_pitfall_11_the_billing_currency_is_never_mixed_with_the_pricing_currency(tmp_path: Path) -> None:
    header = ["costInUsd", "costInPricingCurrency", "pricingCurrency", *HEADER]
    pull = read(write(tmp_path / "a.csv", [["9", "8", "USD", *row(cost="7", currency="EUR")]], header=header))
    assert [(charge.billed_cost, charge.billing_currency) for charge in pull.charges] == [(Decimal(7), "EUR")]


def test_an_export_of_dollar_costs_only_is_refused(tmp_path: Path) -> None:
    header = ["costInUsd" if name == "CostInBillingCurrency" else name for name in HEADER]
    assert read(write(tmp_path / "a.csv", [row()], header=header)).rejected[0].reason.endswith("column for the cost")


def test_units_of_a_thousand_and_of_a_million_become_single_tokens(tmp_path: Path) -> None:
    pull = read(write(tmp_path / "a.csv", [row(quantity="1500", unit="1K"), row(quantity="1.5", unit="1M")]))
    assert [charge.consumed_quantity for charge in pull.charges] == [1_500_000, 1_500_000]


def test_a_unit_that_is_not_known_leaves_the_quantity_open(tmp_path: Path) -> None:
    charge = read(write(tmp_path / "a.csv", [row(unit="bananas")])).charges[0]
    assert (charge.consumed_quantity, charge.pricing_quantity, charge.pricing_unit) == (None, Decimal(150), "bananas")


# Days ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("2024-11-05", "2024-11-05T00:00:00Z", "2024-11-05T23:59:59.9999999Z", "2024-11-05 00:00:00", "20241105"),
        *("11/05/2024", "11/5/24", "11/05/2024 12:00:00 AM", "05.11.2024", "5.11.2024 00:00:00"),
        *("2024-11-04T23:00:00-05:00", "2024-11-06T01:00:00+02:00", "2024/11/05"),
    ],
)
def test_a_day_is_read_in_every_form_that_azure_writes(tmp_path: Path, text: str) -> None:
    assert days(read(write(tmp_path / "a.csv", [row(text)]))) == [november(5)]


def test_the_day_comes_first_if_any_row_of_the_file_proves_it(tmp_path: Path) -> None:
    pull = read(write(tmp_path / "a.csv", [row("05/11/2024"), row("13/11/2024")]))
    assert days(pull) == [november(5), november(13)]


def test_the_month_comes_first_if_any_row_proves_it_and_without_proof(tmp_path: Path) -> None:
    assert days(read(write(tmp_path / "a.csv", [row("11/05/2024"), row("11/13/2024")]))) == [november(5), november(13)]
    assert days(read(write(tmp_path / "b.csv", [row("11/05/2024")]))) == [november(5)]


def test_a_date_that_contradicts_the_rest_of_the_file_is_rejected(tmp_path: Path) -> None:
    pull = read(write(tmp_path / "a.csv", [row("13/11/2024"), row("11/14/2024")]))
    assert (days(pull), [one.position for one in pull.rejected]) == ([november(13)], [3])


@pytest.mark.parametrize(
    ("first", "last"), [("2024-11-01", "2024-11-30"), ("01/11/2024", "30/11/2024"), ("20241101", "20241130")]
)
def test_the_billing_period_settles_what_the_dates_alone_cannot(tmp_path: Path, first: str, last: str) -> None:
    header = [*HEADER, "BillingPeriodStartDate", "BillingPeriodEndDate"]
    pull = read(write(tmp_path / "a.csv", [[*row("05/11/2024"), first, last]], header=header))
    assert days(pull) == [november(5)]


@pytest.mark.parametrize("text", ["", "2024-13-01", "31/31/2024", "yesterday", "45601"])
def test_a_row_without_a_readable_day_is_rejected(tmp_path: Path, text: str) -> None:
    pull = read(write(tmp_path / "a.csv", [row(text)]))
    assert (len(pull.rejected), pull.days) == (1, {})


# Recognition --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({"publisher_type": "", "category": ""}, "mistral-large-2407"),
        ({"publisher_type": "", "resource": "/x"}, "mistral-large-2407"),
        ({"meter": "Unassigned", "product": "Unassigned", "publisher": "x"}, "mistral-large-2407"),
        ({"meter": "x", "product": "x", "resource": "/x"}, None),
        (
            {
                "meter": "Claude - plan - paygo-inference-input-tokens",
                "product": "c",
                "publisher": "A",
                "resource": "/x",
            },
            None,
        ),
    ],
)
def test_one_sign_of_the_marketplace_and_one_of_a_model_offer_are_enough(
    tmp_path: Path, fields: dict[str, str], model: str | None
) -> None:
    charge = read(write(tmp_path / "a.csv", [row(**fields)])).charges[0]
    assert (charge.marketplace, charge.model) == (True, model)


def test_a_mistral_model_that_azure_itself_sells_is_recognised(tmp_path: Path) -> None:
    account = (
        f"/subscriptions/{GUID}/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/mistral-large-2407"
    )
    fields = {"publisher_type": "Azure", "publisher": "Microsoft", "category": "Foundry Models", "resource": account}
    sold = row(meter="Mistral-Large-3 Outp glbl Tokens", product="Foundry Models", **fields)
    other = row(meter="gpt 4o Inp glbl Tokens", product="Azure OpenAI", **fields)
    pull = read(write(tmp_path / "a.csv", [sold, other]))
    assert [(one.model, one.meter, one.marketplace) for one in pull.charges] == [("mistral-large-3", "output", False)]
    assert sum(pull.ignored.values()) == 1


def test_everything_is_kept_where_all_is_asked_for(tmp_path: Path) -> None:
    other = row(meter="Input IOPS", publisher_type="Azure", resource="/x", category="Disk", product="VM", publisher="")
    pull = read(write(tmp_path / "a.csv", [row(), other]), "all")
    assert [charge.meter for charge in pull.charges] == ["input", "other"]
