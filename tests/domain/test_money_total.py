"""Sums of money never round, however long the amounts are."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.forecast import cost_at_end
from monitor.domain.money import EXACT, money_total


@given(st.lists(st.decimals(-(10**9), 10**9, places=20), min_size=1))
def test_a_total_keeps_twenty_decimals_of_large_amounts(amounts: list[Decimal]) -> None:
    total = money_total(amounts)
    assert total is not None
    units = sum(int(amount.scaleb(20, EXACT)) for amount in amounts)
    assert EXACT.scaleb(total, 20) == units


def test_what_is_not_known_adds_nothing_and_nothing_known_is_not_zero() -> None:
    assert money_total([None, Decimal(1), None]) == 1
    assert money_total([None]) is None
    assert money_total([]) is None


def test_a_forecast_adds_up_more_digits_than_the_default_context_has() -> None:
    week = [Decimal(10) ** 24 + Decimal("0.000007")] * 7
    assert cost_at_end(Decimal(0), week, Decimal(1)) == week[0]
