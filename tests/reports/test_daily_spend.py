"""Daily spend: two sides by day, nothing unknown turned into zero, no two currencies in one sum."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.store.filled import MARCH, Filled, at, only, rows


@pytest.fixture
def filled(engine: sa.Engine, tmp_path: Path) -> Filled:
    return Filled(engine, tmp_path)


def test_tokens_are_priced_exactly(filled: Filled) -> None:
    filled.prices()
    large = filled.deployment("large")
    minute = {"minute": at("2026-03-10T12:00:00Z"), "requests": 3, "prompt_tokens": 1_000_001, "completion_tokens": 7}
    filled.minutes(filled.source("gateway"), large, [minute])
    assert only(filled.ask("daily-spend")) == {
        "day": MARCH,
        "workspace": "search",
        "deployment": "large",
        "model": "mistral-large-2407",
        "requests": 3,
        "prompt_tokens": 1_000_001,
        "completion_tokens": 7,
        "estimated_cost": Decimal("2.000044"),
        "billed_cost": None,
        "currency": "USD",
        "unmeasured_requests": 0,
        "unpriced_requests": 0,
        "billing_state": "missing",
    }


def test_a_model_without_a_price_is_unpriced_and_not_free(filled: Filled) -> None:
    mixtral = filled.deployment("open", model="mixtral-8x7b-instruct")
    minute = {"minute": at("2026-03-10T12:00:00Z"), "requests": 5, "prompt_tokens": 10, "throttled_requests": 1}
    filled.minutes(filled.source("gateway"), mixtral, [minute])
    found = only(filled.ask("daily-spend"))
    assert (found["estimated_cost"], found["unpriced_requests"], found["currency"]) == (None, 4, None)


def test_why_a_model_has_no_price_is_said(filled: Filled) -> None:
    source = filled.source("gateway")
    for model in ("mixtral-8x7b-instruct-v01", "home-made"):
        filled.minutes(
            source, filled.deployment(model, model=model), [{"minute": at("2026-03-10T12:00Z"), "prompt_tokens": 1}]
        )
    said = " ".join(filled.ask("daily-spend").notes)
    assert "Unpriced requests: 1; mixtral-8x7b-instruct-v01 runs on the customer's own compute" in said
    assert "Unpriced requests: 1; no price of home-made is known" in said


def test_pitfall_6_requests_without_usage_have_no_cost_rather_than_none(filled: Filled) -> None:
    filled.prices()
    minute = {"minute": at("2026-03-10T12:00:00Z"), "requests": 2, "unmeasured_requests": 2}
    filled.minutes(filled.source("gateway"), filled.deployment("large"), [minute])
    found = only(filled.ask("daily-spend"))
    assert (found["estimated_cost"], found["unmeasured_requests"]) == (None, 2)


def test_refused_requests_alone_cost_nothing(filled: Filled) -> None:
    filled.prices()
    minute = {"minute": at("2026-03-10T12:00:00Z"), "requests": 2, "throttled_requests": 2}
    filled.minutes(filled.source("gateway"), filled.deployment("large"), [minute])
    assert only(filled.ask("daily-spend"))["estimated_cost"] == 0


def test_a_price_counts_from_its_utc_day_on(filled: Filled) -> None:
    filled.price("mistral-large-2407", "input", "3")
    filled.price("mistral-large-2407", "input", "2", since=date(2026, 3, 11))
    minutes = [{"minute": at(f"2026-03-{day}T23:59Z"), "prompt_tokens": 1_000_000} for day in (10, 11)]
    filled.minutes(filled.source("gateway"), filled.deployment("large"), minutes)
    answer = filled.ask("daily-spend", MARCH, date(2026, 3, 11))
    assert rows(answer, "estimated_cost") == [(Decimal(3),), (Decimal(2),)]


def test_a_charge_without_usage_is_a_row_without_requests(filled: Filled) -> None:
    filled.charge(filled.deployment("large"), MARCH, "1.50")
    found = only(filled.ask("daily-spend"))
    assert (found["requests"], found["estimated_cost"], found["billed_cost"]) == (0, None, Decimal("1.5"))


def test_a_bill_in_another_currency_stands_in_a_row_of_its_own(filled: Filled) -> None:
    filled.prices()
    large = filled.deployment("large")
    filled.minutes(filled.source("gateway"), large, [{"minute": at("2026-03-10T12:00Z"), "prompt_tokens": 500_000}])
    filled.charge(large, MARCH, "0.92", billing_currency="EUR")
    answer = filled.ask("daily-spend")
    assert rows(answer, "currency", "requests", "prompt_tokens", "estimated_cost", "billed_cost") == [
        ("USD", 1, 500_000, Decimal(1), None),
        ("EUR", 0, 0, None, Decimal("0.92")),
    ]
    assert answer.totals.money == {
        "EUR": {"estimated_cost": None, "billed_cost": Decimal("0.92")},
        "USD": {"estimated_cost": Decimal(1), "billed_cost": None},
    }


@pytest.mark.parametrize(
    ("known_at", "state"),
    [(datetime(2026, 4, 5, 23, 59, 59, tzinfo=UTC), "open"), (datetime(2026, 4, 6, tzinfo=UTC), "closed")],
)
def test_a_bill_is_final_from_the_sixth_of_the_next_month_on(filled: Filled, known_at: datetime, state: str) -> None:
    filled.charge(filled.deployment("large"), MARCH, "1.50", recorded_at=datetime(2026, 3, 12, tzinfo=UTC))
    assert only(filled.ask("daily-spend", as_of=known_at))["billing_state"] == state


def test_what_was_billed_is_shown_as_it_was_known_then(filled: Filled) -> None:
    large = filled.deployment("large")
    first, second = datetime(2026, 3, 12, tzinfo=UTC), datetime(2026, 3, 14, tzinfo=UTC)
    filled.charge(large, MARCH, "1.00", recorded_at=first, superseded_at=second)
    filled.charge(large, MARCH, "1.10", recorded_at=second)
    assert only(filled.ask("daily-spend"))["billed_cost"] == Decimal("1.1")
    assert only(filled.ask("daily-spend", as_of=datetime(2026, 3, 13, tzinfo=UTC)))["billed_cost"] == 1


def test_the_sum_of_days_is_the_range_over_a_daylight_saving_change(filled: Filled) -> None:
    filled.prices()
    hours = [at("2026-03-27T22:00Z") + 60 * hour for hour in range(96)]
    minutes = [{"minute": minute, "prompt_tokens": 1_000 + number} for number, minute in enumerate(hours)]
    filled.minutes(filled.source("gateway"), filled.deployment("large"), minutes)
    days = [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)]
    whole = filled.ask("daily-spend", days[0], days[-1], "Europe/Berlin")
    single = [only(filled.ask("daily-spend", day, day, "Europe/Berlin")) for day in days]
    assert rows(whole, "requests") == [(24,), (23,), (24,)]
    assert [(one["day"], one["requests"], one["estimated_cost"]) for one in single] == rows(
        whole, "day", "requests", "estimated_cost"
    )


def test_only_the_asked_workspace_is_shown(filled: Filled) -> None:
    source = filled.source("gateway")
    for workspace in ("search", "support"):
        filled.minutes(source, filled.deployment("large", workspace), [{"minute": at("2026-03-10T12:00Z")}])
    assert rows(filled.ask("daily-spend", workspace="support"), "workspace") == [("support",)]


def test_unclaimed_charges_are_mentioned(filled: Filled) -> None:
    filled.charge(None, MARCH, "1.25")
    answer = filled.ask("daily-spend")
    assert answer.rows == []
    assert "Unattributed charges: 1 (1.25 USD); see unattributed-charges." in answer.notes


def test_in_another_zone_a_note_says_where_bills_stand(filled: Filled) -> None:
    said = "Bills are by UTC day; they stand on the day of the same date in Europe/Berlin."
    assert said in filled.ask("daily-spend", zone="Europe/Berlin").notes
    assert said not in filled.ask("quota-headroom", zone="Europe/Berlin").notes
    assert not [note for note in filled.ask("daily-spend").notes if "UTC day" in note]


def test_an_earlier_moment_of_knowledge_is_said_to_be_about_charges(filled: Filled) -> None:
    said = "Charges are as they were known then; usage, quotas and prices as they are known now."
    assert said in filled.ask("daily-spend", as_of=datetime(2026, 4, 1, tzinfo=UTC)).notes
    assert said not in filled.ask("daily-spend").notes


def test_money_in_notes_is_rounded_as_in_tables(filled: Filled) -> None:
    filled.charge(None, MARCH, "1.23456789")
    assert "Unattributed charges: 1 (1.23 USD); see unattributed-charges." in filled.ask("daily-spend").notes
