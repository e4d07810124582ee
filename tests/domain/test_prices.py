"""Prices over time and exact estimates."""

from decimal import Decimal
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.money import EXACT, CurrencyMixError
from monitor.domain.prices import PriceBook, cost
from monitor.domain.records import MeterClass, Price


def price(
    meter: MeterClass,
    amount: str,
    effective_from: int,
    *,
    per: int = 1_000_000,
    currency: str = "USD",
    model: str = "m",
) -> Price:
    return Price(
        model=model,
        meter=meter,
        amount=Decimal(amount),
        per=per,
        currency=currency,
        effective_from=effective_from,
        source="test",
    )


LIST = [price("input", "3", 100), price("output", "9", 100), price("input", "2", 200), price("output", "6", 200)]


def test_pitfall_23_a_price_counts_from_its_first_day_and_not_the_day_before() -> None:
    book = PriceBook(LIST)
    amounts = [found.amount if (found := book.price("m", "input", day)) else None for day in (99, 100, 199, 200)]
    assert amounts == [None, 3, 3, 2]


def test_settings_beat_the_list_from_their_first_day_on_even_when_the_list_changes_later() -> None:
    book = PriceBook(LIST, [price("input", "2.5", 150)])
    amounts = [found.amount for day in (149, 150, 250) if (found := book.price("m", "input", day))]
    assert amounts == [3, Decimal("2.5"), Decimal("2.5")]
    output = book.price("m", "output", 250)
    assert output is not None
    assert output.amount == 6


def test_an_estimate_is_exact_to_the_last_token() -> None:
    estimate = PriceBook(LIST).estimate("m", 200, 1, 1)
    assert (estimate.cost, estimate.currency, estimate.unpriced) == (Decimal("0.000008"), "USD", False)


def test_cached_tokens_cost_what_the_input_costs_unless_they_have_a_price_of_their_own() -> None:
    without = PriceBook(LIST).estimate("m", 200, 1_000_000, 0, cached_tokens=400_000)
    own = PriceBook([*LIST, price("cache", "0.5", 100)]).estimate("m", 200, 1_000_000, 0, cached_tokens=400_000)
    assert (without.cost, own.cost) == (Decimal(2), Decimal("1.4"))


@pytest.mark.parametrize(("model", "day"), [("m", 99), ("unknown", 200), (None, 200)])
def test_tokens_without_a_price_are_unpriced_and_never_cost_nothing(model: str | None, day: int) -> None:
    estimate = PriceBook(LIST).estimate(model, day, 10, 10)
    assert (estimate.cost, estimate.currency, estimate.unpriced) == (None, None, True)


def test_one_unpriced_meter_leaves_the_whole_estimate_open() -> None:
    assert PriceBook([price("input", "1", 0)]).estimate("m", 1, 5, 5).unpriced
    assert not PriceBook([price("input", "1", 0)]).estimate("m", 1, 5, 0).unpriced


def test_meters_priced_in_two_currencies_are_not_added() -> None:
    book = PriceBook([price("input", "1", 0), price("output", "1", 0, currency="EUR")])
    with pytest.raises(CurrencyMixError):
        book.estimate("m", 1, 1, 1)


@given(
    tokens=st.lists(st.integers(0, 2**53), min_size=1, max_size=20),
    amount=st.decimals("0", "1000", places=6),
    per=st.sampled_from([1, 1000, 1_000_000, 2**10, 5**7]),
)
def test_the_cost_of_a_sum_is_the_sum_of_the_costs(tokens: list[int], amount: Decimal, per: int) -> None:
    priced = price("input", str(amount), 0, per=per)
    # The built-in sum would round to the 28 digits of Python's default context.
    assert reduce(EXACT.add, (cost(count, priced) for count in tokens)) == cost(sum(tokens), priced)
