"""What `cost-query` asks Cost Management, and what it makes of the answers."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from monitor.domain.period import Period, day_number
from monitor.domain.records import Charge
from monitor.errors import MonitorError, SettingsError
from monitor.sources import cost_query
from monitor.sources.azure.cost_scope import scope_named
from monitor.sources.cost_answer import CostAnswer
from monitor.sources.request import Request
from monitor.sources.session import Session
from tests.azure.cost_management import CostManagement, CostRow
from tests.azure.server import Answer, serving
from tests.azure.sessions import NOW, SetClock, session

ONE, TWO = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
SCOPE = f"/subscriptions/{ONE}"
INPUT = "Mistral Large 2407 - mistral-large-2407-plan - paygo-inference-input-tokens"
OUTPUT = INPUT.replace("input", "output")
ACCOUNT = "/providers/Microsoft.Billing/billingAccounts/1234567"


def saas(name: str = "Mistral-large-2407-1f2e3d4c", subscription: str = ONE, group: str = "rg-ml") -> str:
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.SaaS/resources/{name}"


def row(day: int = 20, **changes: Any) -> CostRow:
    fields: dict[str, Any] = {
        "day": date(2026, 11, day),
        "subscription": ONE,
        "resource_group": "rg-ml",
        "resource_id": saas(),
        "meter": INPUT,
        "cost": Decimal("3.68420001"),
        "quantity": Decimal(2000),
    }
    return CostRow(**fields | changes)


@pytest.fixture
def costs() -> Iterator[CostManagement]:
    """Cost Management with an empty bill, its limits kept by a clock that the session's sleep moves."""
    with serving() as server:
        yield CostManagement(server=server, limited=False)


def settings(scope: str = SCOPE, **changes: Any) -> cost_query.Settings:
    return cost_query.Settings(name="costs", kind="cost-query", scope=scope, **changes)


def pull(
    costs: CostManagement,
    source: cost_query.Settings | None = None,
    *,
    known: dict[str, tuple[str, int]] | None = None,
    request: Request | None = None,
    now: datetime = NOW,
    using: Session | None = None,
) -> tuple[list[CostAnswer], list[MonitorError]]:
    with using or session(costs.server.address, now=now) as opened:
        given = list(cost_query.pulls(source or settings(), known or {}, request or Request(), opened))
    answers = [one for one in given if isinstance(one, CostAnswer)]
    return answers, [one for one in given if isinstance(one, MonitorError)]


def charges(costs: CostManagement, source: cost_query.Settings | None = None) -> list[Charge]:
    answers, errors = pull(costs, source)
    assert not errors
    return [charge for answer in answers for charge in answer.charges]


def answered(columns: list[str], *rows: Any) -> Answer:
    return Answer(body={"properties": {"columns": [{"name": name} for name in columns], "rows": list(rows)}})


COLUMNS = ["Cost", "UsageQuantity", "UsageDate", "ResourceId", "Meter", "UnitOfMeasure", "Currency"]


# What is read --------------------------------------------------------------------------------------------------------


def test_a_meter_s_day_is_a_charge_with_every_digit(costs: CostManagement) -> None:
    costs.rows = [row(currency="EUR")]
    (found,) = charges(costs)
    assert found == Charge(
        charge_period_start=day_number(date(2026, 11, 20)),
        billed_cost=Decimal("3.68420001"),
        billing_currency="EUR",
        meter="input",
        meter_name=INPUT,
        pricing_quantity=Decimal(2000),
        pricing_unit="1K",
        consumed_quantity=Decimal(2_000_000),
        resource_id=saas().lower(),
        sub_account_id=ONE,
        model="mistral-large-2407",
        marketplace=True,
    )


def test_pitfall_9_models_that_azure_sells_and_those_of_the_marketplace_are_both_found(costs: CostManagement) -> None:
    account = f"{SCOPE}/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/foundry"
    sold: dict[str, Any] = {"publisher_type": "Azure", "service_name": "Foundry Models", "resource_id": account}
    costs.rows = [
        row(),
        row(meter="Mistral Large 3 Inp Glbl", unit="1M", **sold),
        row(meter="gpt 4o Inp glbl", **sold),
        row(meter="Kubernetes platform - standard", resource_id=saas("kubernetes-platform-77")),
        row(meter="D2s v5", publisher_type="Azure", service_name="Virtual Machines"),
    ]
    (answer,) = pull(costs)[0]
    assert {(one.marketplace, one.model) for one in answer.charges} == {
        (True, "mistral-large-2407"),
        (False, "mistral-large-3"),
    }
    assert answer.ignored == {"not a charge of a model offer": 2}
    assert len(costs.asked) == 1


def test_with_include_all_every_row_of_the_bill_is_kept(costs: CostManagement) -> None:
    costs.rows = [row(), row(meter="D2s v5", publisher_type="Azure", service_name="Virtual Machines", resource_id="x")]
    assert {one.meter for one in charges(costs, settings(include="all"))} == {"input", "other"}
    assert "filter" not in costs.asked[0].body["dataset"]


def test_pitfall_3_rows_that_differ_in_what_was_not_asked_are_summed_by_azure_not_dropped(
    costs: CostManagement,
) -> None:
    costs.rows = [row(cost=Decimal(1)), row(cost=Decimal(2)), row(cost=Decimal(4), currency="EUR")]
    assert {(one.billing_currency, one.billed_cost) for one in charges(costs)} == {
        ("USD", Decimal(3)),
        ("EUR", Decimal(4)),
    }


def test_pitfall_8_units_of_one_meter_are_apart(costs: CostManagement) -> None:
    costs.rows = [row(), row(unit="1M", quantity=Decimal(3))]
    assert {one.pricing_unit: one.consumed_quantity for one in charges(costs)} == {"1K": 2_000_000, "1M": 3_000_000}


def test_pitfall_10_days_are_utc_days_whatever_zone_asks(costs: CostManagement) -> None:
    costs.rows = [row(1)]
    pull(costs, now=datetime(2026, 11, 23, 23, 59, tzinfo=UTC))
    assert costs.asked[0].body["timePeriod"] == {"from": "2026-11-01T00:00:00Z", "to": "2026-11-23T23:59:59Z"}


def test_pitfall_12_columns_are_found_by_name_in_any_order_and_case(costs: CostManagement) -> None:
    costs.instead.append(
        answered(
            ["currency", "METER", "unitofmeasure", "usagedate", "resourceId", "UsageQuantity", "cost"],
            ["USD", INPUT, "1K", "2026-11-20T00:00:00", saas(), 1, 2],
        )
    )
    (found,) = charges(costs)
    assert (found.billed_cost, found.charge_period_start) == (Decimal(2), day_number(date(2026, 11, 20)))


def test_pitfall_13_amounts_keep_every_digit_and_exponent(costs: CostManagement) -> None:
    body = answered(COLUMNS, ["COST", 1, 20261120, saas(), INPUT, "1K", "USD"]).body
    for text, amount in (
        ("0.01234567890123456789", Decimal("0.01234567890123456789")),
        ("1.5E-8", Decimal("0.000000015")),
        ("1234567890.1234567890", Decimal("1234567890.1234567890")),
        ("-3", Decimal(-3)),
        ('"2.50"', Decimal("2.50")),
    ):
        costs.instead.append(Answer(body=json.dumps(body).replace('"COST"', text).encode()))
        (found,) = charges(costs)
        assert found.billed_cost == amount


def test_pitfall_20_a_resource_is_one_whatever_its_case(costs: CostManagement) -> None:
    costs.rows = [row(19), row(20, resource_id=saas().upper())]
    assert {one.resource_id for one in charges(costs)} == {saas().lower()}


def test_pitfall_18_a_resource_of_another_subscription_is_billed_where_it_was_asked(costs: CostManagement) -> None:
    costs.rows = [row(resource_id=saas(subscription=TWO))]
    (answer,) = pull(costs)[0]
    assert [(one.sub_account_id, one.resource_id) for one in answer.charges] == [(ONE, saas(subscription=TWO).lower())]
    assert set(answer.days) == {(ONE, day_number(date(2026, 11, 20)))}


def test_rows_of_days_that_were_not_asked_for_are_counted_and_left(costs: CostManagement) -> None:
    costs.rows, costs.stray_day = [row(20), row(24)], True
    (answer,) = pull(costs)[0]
    assert [one.charge_period_start for one in answer.charges] == [day_number(date(2026, 11, 20))]
    assert answer.ignored == {"outside the asked days": 1}
    assert answer.read == 2


def test_a_row_that_makes_no_sense_is_set_aside_and_its_day_not_answered_for(costs: CostManagement) -> None:
    good = [1, 1, 20261120, saas(), INPUT, "1K", "USD"]
    costs.instead.append(
        answered(
            COLUMNS, good, ["x", *good[1:]], [1, 1, "soon", *good[3:]], good[:3], [None, 1, 20261119, *good[3:]], "no"
        )
    )
    (answer,) = pull(costs)[0]
    assert [(one.position, one.reason) for one in answer.rejected] == [
        (2, "the cost is not a number in the form that the export uses"),
        (3, "the day is not a date in the form that the export uses"),
        (4, "not as many fields as the header"),
        (5, "the cost is absent"),
        (6, "not as many fields as the header"),
    ]
    assert answer.days == {(ONE, day_number(date(2026, 11, 20))): 1}


@pytest.mark.parametrize("empty", [200, 204])
def test_pitfall_14_nothing_known_is_not_zero(costs: CostManagement, empty: int) -> None:
    costs.empty = empty
    answers, errors = pull(costs)
    assert [(one.charges, one.days) for one in answers] == [([], {})]
    assert not errors


@pytest.mark.parametrize("missing", ["Cost", "UsageDate"])
def test_an_answer_without_days_or_costs_is_none(costs: CostManagement, missing: str) -> None:
    at = COLUMNS.index(missing)
    whole = [1, 1, 20261120, saas(), INPUT, "1K", "USD"]
    costs.instead.append(answered(COLUMNS[:at] + COLUMNS[at + 1 :], whole[:at] + whole[at + 1 :]))
    answers, (error,) = pull(costs)
    assert not answers
    assert str(error) == (
        f"costs: Azure's answer has no column of the {'cost' if missing == 'Cost' else 'day'}: nothing of it is kept: "
        "try again later"
    )


# Which days ----------------------------------------------------------------------------------------------------------


def asked(costs: CostManagement) -> list[tuple[str, str]]:
    periods = [one.body["timePeriod"] for one in costs.asked]
    return [(one["from"][:10], one["to"][:10]) for one in periods]


@pytest.mark.parametrize(
    ("today", "wanted"),
    [
        (6, [("2026-10-01", "2026-10-31"), ("2026-11-01", "2026-11-06")]),
        (7, [("2026-11-01", "2026-11-07")]),
        (1, [("2026-10-01", "2026-10-31"), ("2026-11-01", "2026-11-01")]),
    ],
)
def test_the_month_before_is_asked_until_the_sixth(
    costs: CostManagement, today: int, wanted: list[tuple[str, str]]
) -> None:
    pull(costs, now=datetime(2026, 11, today, 3, tzinfo=UTC))
    assert asked(costs) == wanted


def test_after_a_long_pause_every_month_that_was_not_finished_is_asked(costs: CostManagement) -> None:
    def at(day: date) -> int:
        return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 10**9

    known = {
        f"{SCOPE} 2026-07": ("aa", at(date(2026, 8, 8))),
        f"{SCOPE} 2026-08": ("aa", at(date(2026, 8, 20))),
        f"{SCOPE} 2026-10": ("aa", at(date(2026, 11, 20))),
    }
    pull(costs, known=known)
    assert asked(costs) == [
        ("2026-08-01", "2026-08-31"),
        ("2026-09-01", "2026-09-30"),
        ("2026-11-01", "2026-11-23"),
    ]


def test_a_past_range_is_asked_in_whole_days_by_month(costs: CostManagement) -> None:
    period = Period(first=date(2026, 8, 30), last=date(2026, 12, 31))
    answers, _ = pull(costs, request=Request(period=period))
    assert asked(costs) == [
        ("2026-08-30", "2026-08-31"),
        ("2026-09-01", "2026-09-30"),
        ("2026-10-01", "2026-10-31"),
        ("2026-11-01", "2026-11-23"),
    ]
    assert [one.name for one in answers] == [
        f"{SCOPE} 2026-08-30..2026-08-31",
        f"{SCOPE} 2026-09",
        f"{SCOPE} 2026-10",
        f"{SCOPE} 2026-11",
    ]


def test_the_same_answer_has_the_same_fingerprint_in_any_order_of_columns(costs: CostManagement) -> None:
    costs.rows = [row(19), row(20, meter=OUTPUT)]
    one, other = pull(costs)[0][0], pull(costs)[0][0]
    costs.rows[0].cost += Decimal("0.00000001")
    assert one.fingerprint == other.fingerprint != pull(costs)[0][0].fingerprint


# Which query ---------------------------------------------------------------------------------------------------------


def test_every_request_says_who_asks(costs: CostManagement) -> None:
    costs.rows, costs.page_size = [row(day) for day in range(1, 21)], 7
    assert len(charges(costs)) == 20
    assert [one.client_type for one in costs.asked] == ["maas-monitor"] * 3


def test_a_page_is_asked_for_with_the_same_body(costs: CostManagement) -> None:
    costs.rows, costs.page_size = [row(day) for day in range(1, 21)], 7
    pull(costs)
    assert [one.page for one in costs.asked] == [0, 7, 14]
    assert all(one.body == costs.asked[0].body for one in costs.asked)


def test_where_three_groupings_are_refused_two_queries_say_the_same(costs: CostManagement) -> None:
    costs.rows = [row(), row(meter=OUTPUT, unit="1M")]
    best = charges(costs)
    costs.most_groupings = 2
    costs.asked.clear()
    assert charges(costs) == best
    assert [len(one.body["dataset"]["grouping"]) for one in costs.asked] == [3, 2, 2]


def test_a_meter_of_several_units_has_no_quantity_where_units_cannot_be_told_apart(costs: CostManagement) -> None:
    costs.rows, costs.most_groupings = [row(), row(unit="1M", quantity=Decimal(3))], 2
    (found,) = charges(costs)
    assert (found.pricing_quantity, found.pricing_unit, found.consumed_quantity) == (None, "", None)
    assert found.billed_cost == Decimal("7.36840002")


def test_which_query_was_taken_is_remembered_for_the_month(costs: CostManagement) -> None:
    costs.rows, costs.most_groupings = [row(), row(1)], 2
    first = pull(costs)[0]
    known = {one.name: (one.fingerprint, one.written_at) for one in first}
    costs.asked.clear()
    assert pull(costs, known=known)[0][0].fingerprint == first[0].fingerprint
    assert [len(one.body["dataset"]["grouping"]) for one in costs.asked] == [2, 2]
    costs.asked.clear()
    pull(costs, known=known, now=datetime(2026, 12, 10, tzinfo=UTC))
    assert len(costs.asked[0].body["dataset"]["grouping"]) == 3


def test_a_query_that_azure_takes_in_no_form_is_told(costs: CostManagement) -> None:
    costs.rows, costs.most_groupings = [row()], 1
    answers, (error,) = pull(costs)
    assert not answers
    assert str(error).startswith("costs: Azure refused the request (BadRequest)")
    assert len(costs.asked) == 4


# Scopes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "path", "form"),
    [
        (f"{SCOPE.upper()}/", SCOPE, "subscription"),
        (ONE, SCOPE, "subscription"),
        (f"Subscriptions/{ONE}/resourcegroups/RG-1", f"{SCOPE}/resourceGroups/RG-1", "resource group"),
        (
            "/providers/microsoft.management/managementgroups/mg",
            "/providers/Microsoft.Management/managementGroups/mg",
            "management group",
        ),
        (ACCOUNT.lower(), ACCOUNT, "billing account"),
        (f"{ACCOUNT}/departments/1", f"{ACCOUNT}/departments/1", "department"),
        (f"{ACCOUNT}/enrollmentaccounts/1", f"{ACCOUNT}/enrollmentAccounts/1", "enrollment account"),
        (f"{ACCOUNT}/billingProfiles/A-B", f"{ACCOUNT}/billingProfiles/A-B", "billing profile"),
        (
            f"{ACCOUNT}/billingProfiles/A/invoicesections/S",
            f"{ACCOUNT}/billingProfiles/A/invoiceSections/S",
            "invoice section",
        ),
        (f"{ACCOUNT}/customers/c:1_2019", f"{ACCOUNT}/customers/c:1_2019", "customer"),
    ],
)
def test_every_form_of_scope_is_understood(written: str, path: str, form: str) -> None:
    scope = scope_named(written)
    assert (scope.path, scope.form) == (path, form)
    assert scope_named(path) == scope


@pytest.mark.parametrize(
    "wrong",
    ["", "production", "/subscriptions/production", f"{SCOPE}/x", f"{SCOPE}?a=b", ACCOUNT + "/", "/" + "x/" * 9],
)
def test_what_is_no_scope_is_refused_with_what_to_write(wrong: str) -> None:
    if wrong == ACCOUNT + "/":
        assert settings(wrong).scope == wrong
        return
    with pytest.raises(SettingsError, match="is none: write /subscriptions/<GUID>"):
        settings(wrong)


def test_a_resource_group_s_charges_do_not_replace_those_of_another(costs: CostManagement) -> None:
    costs.rows = [row(), row(resource_group="other", resource_id=saas(group="other"))]
    (answer,) = pull(costs, settings(f"{SCOPE}/resourceGroups/RG-ML"))[0]
    assert answer.scope == f"{ONE}/resourcegroups/rg-ml"
    assert list(answer.days) == [(answer.scope, day_number(date(2026, 11, 20)))]
    assert [one.sub_account_id for one in answer.charges] == [ONE]


def test_where_resources_cannot_be_grouped_charges_are_kept_by_subscription(costs: CostManagement) -> None:
    costs.groups = {ACCOUNT.lower(): {ONE, TWO}}
    costs.rows = [
        row(),
        row(subscription=TWO, resource_id=saas(subscription=TWO)),
        row(meter="Mistral Large 3 Inp Glbl", publisher_type="Azure", service_name="Foundry Models"),
    ]
    (answer,) = pull(costs, settings(ACCOUNT))[0]
    assert {(one.sub_account_id, one.model, one.marketplace) for one in answer.charges} == {
        (ONE, "mistral-large-2407", True),
        (TWO, "mistral-large-2407", True),
        (ONE, "mistral-large-3", False),
    }
    assert {one.resource_id for one in answer.charges} == {""}
    assert {scope for scope, _ in answer.days} == {ONE, TWO}
    assert {one.billing_account_id for one in answer.charges} == {"1234567"}


def test_what_has_no_subscription_is_replaced_in_the_scope_that_was_asked(costs: CostManagement) -> None:
    profile = f"{ACCOUNT}/billingProfiles/P"
    columns = ["Cost", "UsageQuantity", "UsageDate", "SubscriptionId", "Meter", "UnitOfMeasure", "Currency"]
    costs.instead.append(
        answered(columns, [1, 1, 20261120, ONE, INPUT, "1K", "USD"], [2, 1, 20261120, "", INPUT, "1K", "USD"])
    )
    proper, apart = pull(costs, settings(profile))[0]
    assert (proper.scope, apart.scope) == ("", profile.lower())
    assert [set(one.days) for one in (proper, apart)] == [{(ONE, 20777)}, {(profile.lower(), 20777)}]
    assert [[charge.billed_cost for charge in one.charges] for one in (proper, apart)] == [[1], [2]]


def test_pitfall_17_a_management_group_hides_the_marketplace_and_we_say_so(
    costs: CostManagement, caplog: pytest.LogCaptureFixture
) -> None:
    group = "/providers/Microsoft.Management/managementGroups/mg"
    costs.groups, costs.rows = {group.lower(): {ONE}}, [row()]
    (answer,) = pull(costs, settings(group))[0]
    assert not answer.charges
    assert cost_query.cautions(settings(group))
    assert "leave out Marketplace charges" in caplog.text
    assert not cost_query.cautions(settings())


def test_pitfall_16_one_query_serves_a_whole_subscription(costs: CostManagement) -> None:
    costs.rows = [row(resource_group=f"rg-{n}", resource_id=saas(f"Mistral-nemo-{n:08x}")) for n in range(60)]
    assert len(charges(costs)) == 60
    assert len(costs.asked) == 1


# Official examples ---------------------------------------------------------------------------------------------------


EXAMPLES = ["azure-spec/costmanagement-*/*Query*.json", "azure-api/costmanagement_query_*.json"]


def test_official_example_answers_are_read_or_refused_as_what_they_are(
    costs: CostManagement, shared_data: Path
) -> None:
    read, refused = 0, 0
    for file in (file for pattern in EXAMPLES for file in sorted(shared_data.glob(pattern))):
        example = json.loads(file.read_text("utf-8"), parse_float=Decimal)
        whole = example["responses"]["200"]["body"] if "responses" in example else example
        names = [column["name"] for column in whole["properties"]["columns"]]
        rows = whole["properties"]["rows"]
        # Several examples have a nextLink, which would be followed.
        costs.instead.extend([Answer(body={"properties": whole["properties"] | {"nextLink": None}})] * 12)
        if "UsageDate" not in names:
            assert "no column of the day" in str(pull(costs)[1][0])
            refused += 1
            costs.instead.clear()
            continue
        days = [date.fromisoformat(str(one[names.index("UsageDate")])) for one in rows]
        period = Period(first=min(days), last=max(days))
        answers, _ = pull(costs, settings(include="all"), request=Request(period=period))
        found = [(one.charge_period_start, one.billed_cost) for answer in answers for one in answer.charges]
        amounts = [one[names.index("PreTaxCost")] for one in rows]
        assert sorted(found) == sorted(zip(map(day_number, days), amounts, strict=True))
        read += 1
        costs.instead.clear()
    assert read
    assert refused


def test_waiting_is_done_by_the_session_s_clock(costs: CostManagement) -> None:
    clock = SetClock()
    costs.rows, costs.limited, costs.now = [row(day) for day in range(1, 21)], True, clock.now
    costs.page_size = 2
    answers, errors = pull(costs, using=session(costs.server.address, clock=clock))
    assert (len(answers[0].charges), errors) == (20, [])
    assert clock.slept > 60


def test_the_doctor_s_probe_is_one_request_that_every_scope_takes(costs: CostManagement) -> None:
    costs.groups, costs.most_groupings = {ACCOUNT.lower(): {ONE}}, 2
    for scope in (SCOPE, ACCOUNT):
        costs.asked.clear()
        with session(costs.server.address) as opened:
            assert list(cost_query.probe(settings(scope), opened)) == ["Cost Management answers"]
        assert asked(costs) == [("2026-11-22", "2026-11-22")]


def test_pitfall_19_what_azure_has_forgotten_is_billed_late_all_the_same(costs: CostManagement) -> None:
    costs.rows = [row(resource_id=saas("Mistral-large-retired"), meter=f"Mistral Large (2402) - plan - {INPUT[-29:]}")]
    (found,) = charges(costs)
    assert found.resource_id.endswith("mistral-large-retired")
