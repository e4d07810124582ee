"""Money and quantities: exact on the way in, in the store, and on the way out."""

from decimal import Decimal
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.settings import Budget
from monitor.domain.money import (
    EXACT,
    FURTHEST,
    LARGEST,
    from_store,
    parse,
    plain,
    quantity_of,
    quantity_to_store,
    text,
    to_store,
)

AMOUNTS = st.integers(-(9 * 10**29) + 1, 9 * 10**29 - 1).map(lambda units: EXACT.scaleb(Decimal(units), -20))
"""All that the store holds: up to 20 decimals, below 9 billion."""
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1e30"), max_value=Decimal("1e30"))


@given(AMOUNTS)
def test_an_amount_of_up_to_20_decimals_comes_back_from_the_store(amount: Decimal) -> None:
    nano, remainder = to_store(amount)
    assert from_store(nano, remainder) == amount
    assert max(abs(nano), abs(remainder)) < 2**63
    assert nano * remainder >= 0


@given(st.lists(AMOUNTS, max_size=20))
def test_the_sum_of_what_is_stored_is_the_sum_of_the_amounts(amounts: list[Decimal]) -> None:
    parts = [to_store(amount) for amount in amounts]
    summed = from_store(sum(nano for nano, _ in parts), sum(remainder for _, remainder in parts))
    assert summed == reduce(EXACT.add, amounts, Decimal(0))


@pytest.mark.parametrize(
    ("written", "units"), [("0.000000000000000000005", 0), ("0.0000000000000000000051", 1), ("-0.00000000015", -15)]
)
def test_digits_beyond_the_20th_decimal_are_rounded_half_to_even(written: str, units: int) -> None:
    nano, remainder = to_store(Decimal(written))
    assert nano * 10**11 + remainder == (units if abs(units) < 2 else units * 10**9)


@given(AMOUNTS)
def test_the_text_of_an_amount_says_it_digit_for_digit_and_never_has_an_exponent(amount: Decimal) -> None:
    written = text(amount)
    assert parse(written) == amount
    assert set(written) <= set("-.0123456789")
    assert len(written.partition(".")[2]) >= 2


@pytest.mark.parametrize(
    ("written", "shown"), [("1E+3", "1000.00"), ("1.500", "1.50"), ("1E-7", "0.0000001"), ("0E-20", "0.00")]
)
def test_a_text_has_at_least_two_decimals_and_no_needless_zeros(written: str, shown: str) -> None:
    assert text(Decimal(written)) == shown


@given(NUMBERS)
def test_plain_keeps_the_value(number: Decimal) -> None:
    assert plain(number) == EXACT.plus(number)
    assert "E+" not in str(plain(number))


@pytest.mark.parametrize("written", ["NaN", "-nan", "sNaN", "inf", "-Infinity", "", "1,5", "1.2.3", "0x10", "ten"])
def test_what_is_no_finite_number_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="number"):
        parse(written)


@pytest.mark.parametrize("exponent", [FURTHEST + 1, -FURTHEST - 1, 999_999, -999_999, 9_999_999, -9_999_999])
def test_a_number_further_from_1_than_anything_billed_is_refused(exponent: int) -> None:
    with pytest.raises(ValueError, match="further from 1"):
        parse(f"-9.9e{exponent}")


@given(st.sampled_from([FURTHEST, -FURTHEST]), st.integers(-(10**20), 10**20).filter(lambda digits: digits % 10 != 0))
def test_arithmetic_with_every_number_that_is_taken_raises_nothing(exponent: int, digits: int) -> None:
    number = parse(f"{Decimal(digits).scaleb(exponent - len(str(abs(digits))) + 1)}")
    to_store(number)
    assert "E" not in text(plain(EXACT.multiply(number, number)))
    quantity_to_store(EXACT.multiply(number, Decimal(10**9)))


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_quantity_comes_back_from_the_store(units: int) -> None:
    quantity = quantity_of(units)
    assert quantity is not None
    assert quantity_to_store(quantity) == units


def test_a_quantity_that_is_not_known_or_cannot_be_counted_stays_unknown() -> None:
    assert quantity_of(None) is None
    assert quantity_to_store(None) is None
    assert quantity_to_store(Decimal(2**63).scaleb(-6)) is None
    assert quantity_to_store(Decimal("1e9999999")) is None


def test_the_largest_amount_fits_the_store() -> None:
    assert to_store(LARGEST)[0] < 2**63


@pytest.mark.parametrize("monthly", ["9000000000.01", "1e9999999", "-0.01", "NaN", "Infinity"])
def test_a_budget_that_the_store_cannot_hold_is_refused(monthly: str) -> None:
    with pytest.raises(Exception, match="is not an amount of money"):
        Budget(monthly=Decimal(monthly))
    assert Budget(monthly=LARGEST).monthly == LARGEST
