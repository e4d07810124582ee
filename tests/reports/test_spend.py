"""Spend by workspace and model: shares, budgets and what the month will have cost."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.domain.answer import DailyCost
from monitor.domain.money import to_store
from tests.store.filled import MARCH, NOW, Filled, at, only, rows

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)


@pytest.fixture
def filled(engine: sa.Engine, tmp_path: Path) -> Filled:
    made = Filled(engine, tmp_path)
    made.prices()
    return made


def spent(filled: Filled, workspace: str, day: str, millions: int = 1, model: str = "mistral-large-2407") -> None:
    """Spend 2 USD for every million tokens."""
    source = filled.source(f"gateway of {workspace} {model} {day}")
    deployment = filled.deployment(f"{model} {day}", workspace, model)
    filled.minutes(source, deployment, [{"minute": at(day), "prompt_tokens": millions * 1_000_000}])


def test_shares_are_parts_of_the_whole_period(filled: Filled) -> None:
    spent(filled, "search", "2026-11-02T10:00Z", 3)
    spent(filled, "support", "2026-11-03T10:00Z", 1)
    assert rows(filled.ask("spend", FIRST, LAST), "workspace", "estimated_cost", "share") == [
        ("search", Decimal(6), 0.75),
        ("support", Decimal(2), 0.25),
    ]


def test_shares_stay_within_one_currency(filled: Filled) -> None:
    spent(filled, "search", "2026-11-02T10:00Z")
    filled.charge(filled.deployment("euro", "support"), date(2026, 11, 2), "5", billing_currency="EUR")
    assert rows(filled.ask("spend", FIRST, LAST), "currency", "share") == [("USD", 1.0), ("EUR", 1.0)]


def test_a_budget_is_used_by_all_models_of_the_workspace(filled: Filled) -> None:
    filled.workspace("search", budget_monthly=to_store(Decimal(100))[0], budget_currency="USD", cost_center="CC-1")
    filled.prices("mistral-small-2402")
    spent(filled, "search", "2026-11-02T10:00Z", 10)
    spent(filled, "search", "2026-11-02T10:00Z", 5, "mistral-small-2402")
    answer = filled.ask("spend", FIRST, LAST)
    assert rows(answer, "cost_center", "budget", "budget_used") == [("CC-1", Decimal(100), 0.3)] * 2


@pytest.mark.parametrize("last", [date(2026, 11, 29), LAST])
def test_a_monthly_budget_is_shown_for_whole_months_only(filled: Filled, last: date) -> None:
    filled.workspace("search", budget_monthly=to_store(Decimal(100))[0], budget_currency="USD")
    spent(filled, "search", "2026-11-02T10:00Z")
    assert (only(filled.ask("spend", FIRST, last))["budget"] is not None) == (last == LAST)


def test_the_running_month_is_forecast_from_its_last_seven_complete_days(filled: Filled) -> None:
    for day in range(13, 20):
        spent(filled, "search", f"2026-11-{day}T10:00Z", 7)
    # 98 so far; 14 a day; half of the 20th and ten more days are left.
    assert only(filled.ask("spend", FIRST, LAST, now=NOW))["forecast_cost"] == 98 + 14 * Decimal("10.5")


def test_a_young_store_is_forecast_from_the_days_it_has(filled: Filled) -> None:
    spent(filled, "search", "2026-11-18T10:00Z", 1)
    spent(filled, "search", "2026-11-19T10:00Z", 3)
    assert only(filled.ask("spend", FIRST, LAST, now=NOW))["forecast_cost"] == 8 + 4 * Decimal("10.5")


@pytest.mark.parametrize("now", [datetime(2026, 10, 31, 12, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)])
def test_other_months_have_no_forecast(filled: Filled, now: datetime) -> None:
    spent(filled, "search", "2026-11-18T10:00Z")
    assert only(filled.ask("spend", FIRST, LAST, now=now))["forecast_cost"] is None


def test_unpriced_days_join_the_row_that_the_bill_gives_a_currency(filled: Filled) -> None:
    source, odd = filled.source("gateway"), filled.deployment("odd", model="home-made")
    filled.minutes(source, odd, [{"minute": at(f"2026-11-0{day}T10:00Z"), "prompt_tokens": 5} for day in (2, 3)])
    filled.charge(odd, date(2026, 11, 2), "1")
    found = only(filled.ask("spend", FIRST, LAST))
    assert (found["requests"], found["currency"], found["billed_cost"]) == (2, "USD", Decimal(1))


def test_shares_and_charts_say_whose_cost_only_the_bill_knows(filled: Filled) -> None:
    source = filled.source("gateway")
    large = filled.deployment("large")
    batch = filled.deployment("batch", workspace="docs-batch", model="home-made")
    own = filled.deployment("own", model="home-made")
    for number in (large, batch, own):
        filled.minutes(source, number, [{"minute": at("2026-03-10T12:00Z"), "prompt_tokens": 1_000_000}])
        filled.charge(number, MARCH, "28.52")
    answer = filled.ask("spend", MARCH)
    assert rows(answer, "workspace", "model", "share") == [
        ("docs-batch", "home-made", None),
        ("search", "home-made", None),
        ("search", "mistral-large-2407", 1.0),
    ]
    (chart,) = answer.charts
    assert isinstance(chart, DailyCost)
    assert chart.without == "docs-batch (unpriced), search/own (unpriced)"
    assert f"Estimates in USD, and shares and charts of them, are without {chart.without}: billed only." in answer.notes


def test_where_nothing_is_estimated_the_bill_is_shown_whole(filled: Filled) -> None:
    batch = filled.deployment("batch", workspace="docs-batch", model="home-made")
    filled.charge(batch, MARCH, "28.52")
    answer = filled.ask("spend", MARCH)
    (chart,) = answer.charts
    assert isinstance(chart, DailyCost)
    assert (chart.title, chart.without, only(answer)["share"]) == ("Billed cost by day, USD", "", 1.0)
