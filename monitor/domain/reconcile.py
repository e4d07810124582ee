"""Reconciliation: what the logs say was used next to what was billed, meter by meter, and why they differ.

The difference (billed - estimated) is split without rounding: what other quantities cost at the book's price
((billed - logged quantity) * price), what another price did (billed cost - billed quantity * price), and what is left.
Each part is None where a side of it is not known; the known ones always add up to the difference.

States, the first that applies:
  unattributed      the charge fits no deployment
  not-estimated     a meter that logs say nothing about: hosting, fine-tuning, other
  currency-differs  priced in one currency, billed in another: one row for each, without a difference
  usage-missing     billed, but no request of that deployment was logged that day
  not-billed-yet    used, no charge is known, and the day's charges may still change
  never-billed      used, no charge is known, and the day's charges are final
  unpriced          no price in the book
  quantity-gap      quantities differ by more than 1 %: billers round them, hour by hour; the split stays exact
  price-gap         the billed price differs from the book's by more than 0.1 %
  unexplained       the billed quantity is not known, and the costs differ
  matched           both sides agree
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from monitor.domain.money import EXACT
from monitor.domain.records import Price

State = Literal[
    "unattributed",
    "not-estimated",
    "currency-differs",
    "usage-missing",
    "not-billed-yet",
    "never-billed",
    "unpriced",
    "quantity-gap",
    "price-gap",
    "unexplained",
    "matched",
]

LOGGED_METERS = ("input", "output", "cache")

QUANTITY_TOLERANCE = Decimal("0.01")
"""Billers round quantities to their block of 1,000 tokens once an hour; a smaller part than this is no gap.

It decides about the state only: what such a part costs stays in `usage_difference_cost`, to the last digit.
"""

PRICE_TOLERANCE = Decimal("0.001")
"""Billers round amounts too, but a price is one number: a smaller part than this is no other price."""


@dataclass(frozen=True, kw_only=True)
class Sides:
    """One meter of one deployment and day: logged tokens, their price, and what was billed.

    `used`: whether any request was logged that day. `billed_cost` None: no charge is known. `closed`: the charges are
    final.
    """

    used: bool
    estimated_quantity: int
    price: Price | None
    billed_quantity: Decimal | None = None
    billed_cost: Decimal | None = None
    billing_currency: str | None = None
    closed: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Both sides and what tells them apart; None is "not known"."""

    currency: str | None
    estimated_quantity: int | None
    billed_quantity: Decimal | None
    estimated_cost: Decimal | None
    billed_cost: Decimal | None
    state: State
    usage_difference_cost: Decimal | None = None
    price_difference_cost: Decimal | None = None
    unexplained_cost: Decimal | None = None

    @property
    def coverage(self) -> float | None:
        """The logged part of the billed quantity."""
        if self.estimated_quantity is None or not self.billed_quantity:
            return None
        # Nothing logged against a refund is 0, not -0.
        return float(self.estimated_quantity / self.billed_quantity) or 0.0

    @property
    def difference(self) -> Decimal | None:
        """Billed minus estimated cost."""
        if self.billed_cost is None or self.estimated_cost is None:
            return None
        return EXACT.subtract(self.billed_cost, self.estimated_cost)


def compare(sides: Sides) -> list[Comparison]:
    """Compare the sides of one meter: one row, or two where price and bill are in different currencies."""
    estimated = _estimated(sides)
    price_currency = sides.price.currency if sides.price else None
    if estimated is not None and sides.used and sides.billing_currency not in (None, price_currency):
        return _in_two_currencies(sides, estimated)
    usage_part, price_part, rest = _parts(sides, estimated)
    return [
        Comparison(
            currency=sides.billing_currency or price_currency,
            estimated_quantity=sides.estimated_quantity,
            billed_quantity=sides.billed_quantity,
            estimated_cost=estimated,
            billed_cost=sides.billed_cost,
            state=_state(sides, usage_part, price_part, rest),
            usage_difference_cost=usage_part,
            price_difference_cost=price_part,
            unexplained_cost=rest,
        )
    ]


def only_billed(state: State, quantity: Decimal | None, cost: Decimal | None, currency: str) -> Comparison:
    """Show a charge that no log can be compared with."""
    return Comparison(
        currency=currency,
        estimated_quantity=None,
        billed_quantity=quantity,
        estimated_cost=None,
        billed_cost=cost,
        state=state,
    )


def _estimated(sides: Sides) -> Decimal | None:
    """Return what the logged tokens cost; without a request nothing, whatever the price."""
    if not sides.used:
        return Decimal(0)
    return None if sides.price is None else at_price(Decimal(sides.estimated_quantity), sides.price)


def at_price(quantity: Decimal, price: Price) -> Decimal:
    """Return quantity * amount / per, exactly: `per` has only the factors 2 and 5."""
    return EXACT.divide(EXACT.multiply(quantity, price.amount), Decimal(price.per))


def _in_two_currencies(sides: Sides, estimated: Decimal) -> list[Comparison]:
    """Quantities have no currency: they stand in the row of the estimate."""
    assert sides.price is not None
    return [
        Comparison(
            currency=sides.price.currency,
            estimated_quantity=sides.estimated_quantity,
            billed_quantity=sides.billed_quantity,
            estimated_cost=estimated,
            billed_cost=None,
            state="currency-differs",
        ),
        Comparison(
            currency=sides.billing_currency,
            estimated_quantity=None,
            billed_quantity=None,
            estimated_cost=None,
            billed_cost=sides.billed_cost,
            state="currency-differs",
        ),
    ]


Parts = tuple[Decimal | None, Decimal | None, Decimal | None]


def _parts(sides: Sides, estimated: Decimal | None) -> Parts:
    """Split the difference: by usage, by price, the rest. Without a billed quantity or a price it is all rest."""
    if estimated is None or sides.billed_cost is None:
        return None, None, None
    difference = EXACT.subtract(sides.billed_cost, estimated)
    comparable = sides.price is not None and sides.billing_currency == sides.price.currency
    if sides.price is None or sides.billed_quantity is None or not comparable:
        return None, None, difference
    at_book = at_price(sides.billed_quantity, sides.price)
    by_usage = EXACT.subtract(at_book, estimated)
    by_price = EXACT.subtract(sides.billed_cost, at_book)
    return by_usage, by_price, EXACT.subtract(difference, EXACT.add(by_usage, by_price))


def _state(sides: Sides, by_usage: Decimal | None, by_price: Decimal | None, rest: Decimal | None) -> State:
    if not sides.used:
        return "usage-missing"
    if sides.billed_cost is None:
        return "never-billed" if sides.closed else "not-billed-yet"
    if sides.price is None:
        return "unpriced"
    if sides.billed_quantity is not None and _apart(
        Decimal(sides.estimated_quantity), sides.billed_quantity, QUANTITY_TOLERANCE
    ):
        return "quantity-gap"
    if by_price is not None and _apart(EXACT.subtract(sides.billed_cost, by_price), sides.billed_cost, PRICE_TOLERANCE):
        return "price-gap"
    return "unexplained" if rest else "matched"


def _apart(one: Decimal, other: Decimal, tolerance: Decimal) -> bool:
    """Whether two amounts differ by more than a tolerance, measured by the larger one."""
    return abs(EXACT.subtract(one, other)) > tolerance * max(abs(one), abs(other))
