"""A difference between estimate and bill is split without a rest to round."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.money import EXACT
from monitor.domain.reconcile import Sides, State, compare
from monitor.domain.records import Price

amounts = st.decimals(0, 10_000, places=12)
quantities = st.decimals(0, 10**12, places=3)
pers = st.sampled_from([1, 1_000, 1_000_000])


def price(amount: Decimal = Decimal(2), per: int = 1_000_000) -> Price:
    return Price(model="m", meter="input", amount=amount, per=per, currency="USD", effective_from=0, source="test")


@given(st.integers(0, 2**53), quantities, amounts, amounts, pers)
def test_the_parts_add_up_to_the_difference_exactly(
    logged: int, billed: Decimal, cost: Decimal, amount: Decimal, per: int
) -> None:
    sides = Sides(
        used=True,
        estimated_quantity=logged,
        price=price(amount, per),
        billed_quantity=billed,
        billed_cost=cost,
        billing_currency="USD",
    )
    (found,) = compare(sides)
    parts = [found.usage_difference_cost, found.price_difference_cost, found.unexplained_cost]
    total = Decimal(0)
    for part in parts:
        assert part is not None
        total = EXACT.add(total, part)
    assert total == found.difference


@pytest.mark.parametrize(
    ("logged", "billed", "cost", "state"),
    [
        (990_000, "1000000", "2", "matched"),
        (989_999, "1000000", "2", "quantity-gap"),
        (1_000_000, "990000", "1.98", "matched"),
        (1_000_000, "989999", "1.979998", "quantity-gap"),
        (1_000_000, "1000000", "2.002", "matched"),
        (1_000_000, "1000000", "2.003", "price-gap"),
        (0, "0", "0", "matched"),
    ],
)
def test_a_hundredth_of_the_quantity_is_no_gap_and_a_thousandth_of_the_price_neither(
    logged: int, billed: str, cost: str, state: State
) -> None:
    sides = Sides(
        used=True,
        estimated_quantity=logged,
        price=price(),
        billed_quantity=Decimal(billed),
        billed_cost=Decimal(cost),
        billing_currency="USD",
    )
    assert [one.state for one in compare(sides)] == [state]


def test_without_a_price_only_the_bill_is_known() -> None:
    sides = Sides(
        used=True,
        estimated_quantity=5,
        price=None,
        billed_quantity=Decimal(5),
        billed_cost=Decimal(1),
        billing_currency="USD",
    )
    (found,) = compare(sides)
    assert (found.state, found.estimated_cost, found.difference, found.coverage) == ("unpriced", None, None, 1.0)


def test_a_refund_without_usage_is_covered_by_zero_and_not_by_minus_zero() -> None:
    refund = Sides(
        used=False,
        estimated_quantity=0,
        price=price(),
        billed_quantity=Decimal(-2_000),
        billed_cost=Decimal("-3.5"),
        billing_currency="USD",
    )
    (found,) = compare(refund)
    assert str(found.coverage) == "0.0"
