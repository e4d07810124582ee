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


def test_billed_quantities_are_totalled(filled: Filled) -> None:
    large = used(filled, prompt_tokens=2_000_000)
    filled.charge(large, MARCH, "4", consumed_quantity=micro(2_000_000))
    filled.charge(large, MARCH, "6", meter="output", consumed_quantity=1_500_000)
    assert filled.ask("reconciliation").totals.counts["billed_quantity"] == 2_000_001.5


def test_a_rounded_quantity_matches_and_its_cost_stays_in_the_split(filled: Filled) -> None:
    large = used(filled, prompt_tokens=1_990_000)
    filled.charge(large, MARCH, "4", consumed_quantity=micro(2_000_000))
    found = only(filled.ask("reconciliation"))
    assert (found["state"], found["coverage"], found["usage_difference_cost"]) == ("matched", 0.995, Decimal("0.02"))


def test_notes_say_which_amounts_the_difference_is_of_and_what_is_left_out(filled: Filled) -> None:
    filled.prices("mistral-small")
    source = filled.source("gateway")
    names = {"large": "mistral-large-2407", "small": "mistral-small", "docs": "home-made"}
    placed = {name: filled.deployment(name, model=model) for name, model in names.items()}
    for number in placed.values():
        filled.minutes(source, number, [{"minute": at("2026-03-10T12:00Z"), "prompt_tokens": 1_000_000}])
    filled.charge(placed["large"], MARCH, "2.5", consumed_quantity=micro(1_000_000))
    filled.charge(placed["docs"], MARCH, "28.52", consumed_quantity=micro(1_000_000))
    filled.charge(None, MARCH, "3")
    answer = filled.ask("reconciliation", now=datetime(2026, 3, 12, tzinfo=UTC))
    assert answer.totals.money["USD"]["difference"] == Decimal("0.5")
    assert "Compared in USD: 2.00 of 4.00 estimated and 2.50 of 34.02 billed; the difference of 0.50 is theirs." in (
        answer.notes
    )
    assert (
        "Left out in USD: 1 not-billed-yet (2.00 estimated); 1 unattributed (3.00 billed); 1 unpriced (28.52 billed)."
        in answer.notes
    )


def test_where_everything_is_compared_there_is_nothing_to_say(filled: Filled) -> None:
    large = used(filled, prompt_tokens=2_000_000)
    filled.charge(large, MARCH, "4", consumed_quantity=micro(2_000_000))
    assert not [note for note in filled.ask("reconciliation").notes if "ompared" in note or "Left out" in note]


def test_days_of_another_zone_are_said_to_be_utc_days(filled: Filled) -> None:
    said = "Days are UTC billing days, not those of Asia/Tokyo."
    assert said in filled.ask("reconciliation", zone="Asia/Tokyo").notes
    assert said in filled.ask("unattributed-charges", zone="Asia/Tokyo").notes
    assert not [note for note in filled.ask("reconciliation").notes if "UTC billing days" in note]
