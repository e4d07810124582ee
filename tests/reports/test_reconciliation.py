"""Reconciliation: both sides meter by meter, and a difference that is explained to the last digit."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.store.filled import MARCH, Filled, at, only, rows


@pytest.fixture
def filled(engine: sa.Engine, tmp_path: Path) -> Filled:
    made = Filled(engine, tmp_path)
    made.prices()
    return made


def used(filled: Filled, **tokens: int) -> int:
    large = filled.deployment("large")
    filled.minutes(filled.source("gateway"), large, [{"minute": at("2026-03-10T12:00Z"), **tokens}])
    return large


def micro(tokens: int) -> int:
    return tokens * 1_000_000


def test_equal_sides_match(filled: Filled) -> None:
    large = used(filled, prompt_tokens=2_000_000)
    filled.charge(large, MARCH, "4", consumed_quantity=micro(2_000_000))
    found = only(filled.ask("reconciliation"))
    assert (found["meter"], found["state"], found["coverage"], found["difference"]) == ("input", "matched", 1.0, 0)


def test_a_difference_is_split_into_quantity_and_price(filled: Filled) -> None:
    large = used(filled, prompt_tokens=1_000_000)
    filled.charge(large, MARCH, "6", consumed_quantity=micro(2_000_000))
    found = only(filled.ask("reconciliation"))
    assert (found["state"], found["coverage"], found["difference"]) == ("quantity-gap", 0.5, Decimal(4))
    assert (found["usage_difference_cost"], found["price_difference_cost"], found["unexplained_cost"]) == (2, 2, 0)


def test_another_price_is_a_price_gap(filled: Filled) -> None:
    large = used(filled, completion_tokens=1_000_000)
    filled.charge(large, MARCH, "9", meter="output", consumed_quantity=micro(1_000_000))
    found = only(filled.ask("reconciliation"))
    assert (found["state"], found["price_difference_cost"], found["usage_difference_cost"]) == ("price-gap", 3, 0)


def test_a_charge_without_a_known_unit_leaves_the_difference_unexplained(filled: Filled) -> None:
    large = used(filled, prompt_tokens=1_000_000)
    filled.charge(large, MARCH, "2.5")
    found = only(filled.ask("reconciliation"))
    assert (found["billed_quantity"], found["coverage"], found["state"]) == (None, None, "unexplained")
    assert (found["difference"], found["unexplained_cost"]) == (Decimal("0.5"), Decimal("0.5"))


@pytest.mark.parametrize(("now", "state"), [(5, "not-billed-yet"), (6, "never-billed")])
def test_use_without_a_charge_waits_until_the_month_is_closed(filled: Filled, now: int, state: str) -> None:
    used(filled, prompt_tokens=1_000)
    found = only(filled.ask("reconciliation", now=datetime(2026, 4, now, tzinfo=UTC)))
    assert (found["state"], found["billed_cost"], found["difference"]) == (state, None, None)


def test_a_charge_without_use_is_all_usage_difference(filled: Filled) -> None:
    filled.charge(filled.deployment("large"), MARCH, "2", consumed_quantity=micro(1_000_000))
    found = only(filled.ask("reconciliation"))
    assert (found["state"], found["coverage"], found["usage_difference_cost"]) == ("usage-missing", 0.0, 2)


def test_a_bill_in_another_currency_has_no_difference(filled: Filled) -> None:
    large = used(filled, prompt_tokens=1_000_000)
    filled.charge(large, MARCH, "1.84", billing_currency="EUR", consumed_quantity=micro(1_000_000))
    assert rows(filled.ask("reconciliation"), "currency", "estimated_cost", "billed_cost", "difference", "state") == [
        ("EUR", None, Decimal("1.84"), None, "currency-differs"),
        ("USD", Decimal(2), None, None, "currency-differs"),
    ]


def test_hosting_is_shown_though_no_log_speaks_of_it(filled: Filled) -> None:
    filled.charge(filled.deployment("large"), MARCH, "7", meter="hosting", consumed_quantity=micro(24))
    assert only(filled.ask("reconciliation"))["state"] == "not-estimated"


def test_cached_tokens_are_compared_apart_only_where_they_are_billed_apart(filled: Filled) -> None:
    large = used(filled, prompt_tokens=1_000, cached_tokens=400)
    assert rows(filled.ask("reconciliation"), "meter", "estimated_quantity") == [("input", 1_000)]
    filled.charge(large, MARCH, "0.0002", meter="cache", consumed_quantity=micro(400))
    assert rows(filled.ask("reconciliation"), "meter", "estimated_quantity") == [("cache", 400), ("input", 600)]


def test_unclaimed_charges_are_shown_unless_a_workspace_is_asked_for(filled: Filled) -> None:
    used(filled, prompt_tokens=1_000)
    filled.charge(None, MARCH, "3")
    assert ("unattributed",) in rows(filled.ask("reconciliation"), "state")
    assert ("unattributed",) not in rows(filled.ask("reconciliation", workspace="search"), "state")


def test_both_sides_are_compared_by_utc_day_in_any_zone(filled: Filled) -> None:
    large = filled.deployment("large")
    filled.minutes(filled.source("gateway"), large, [{"minute": at("2026-03-10T23:30Z"), "prompt_tokens": 1_000_000}])
    filled.charge(large, MARCH, "2", consumed_quantity=micro(1_000_000))
    assert rows(filled.ask("reconciliation", zone="Asia/Tokyo"), "day", "state") == [(date(2026, 3, 10), "matched")]
