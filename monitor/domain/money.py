"""Money: exact decimals in Python; in the store whole 1e-9 units plus a remainder in 1e-20 units.

Billers write up to 20 decimals. Two whole numbers keep them all, and both columns can be summed by any SQL engine
without losing a digit. Billed quantities are whole 1e-6 units in the store.
"""

from collections.abc import Iterable
from decimal import Context, Decimal, InvalidOperation

NANO = 9
REMAINDER = 20
QUANTITY = 6

LARGEST = Decimal(9_000_000_000)
"""What an amount must stay below: the store counts 1e-9 units in 63 bits."""
FURTHEST = 40
"""How many places from the point a number may begin; far beyond what anybody bills, well within what is exact."""

EXACT = Context(prec=60)
"""Wide enough for every product of a token count and a price; addition and multiplication in it never round."""


class CurrencyMixError(ValueError):
    """Two currencies were about to be added."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other} cannot be added")


def parse(text: str) -> Decimal:
    """Parse a plain or exponent decimal with a point.

    ValueError for anything else: NaN, infinities, and numbers so large or small that arithmetic with them overflows.
    """
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError("not a decimal number") from None
    if not value.is_finite():
        raise ValueError("not a finite number")
    if abs(value.adjusted()) > FURTHEST:
        raise ValueError("further from 1 than anything that is billed")
    return value


def to_store(value: Decimal) -> tuple[int, int]:
    """Split into (1e-9 units, remainder in 1e-20 units); the remainder has the sign of the value.

    Digits beyond the 20th decimal are rounded half to even; the biller's own text is kept beside the amount.
    """
    whole = EXACT.to_integral_value(EXACT.scaleb(value, REMAINDER))
    nano, remainder = divmod(abs(int(whole)), 10 ** (REMAINDER - NANO))
    return (nano, remainder) if whole >= 0 else (-nano, -remainder)


def from_store(nano: int, remainder: int = 0) -> Decimal:
    """Join what `to_store` split, or sums of it."""
    units = nano * 10 ** (REMAINDER - NANO) + remainder
    return plain(EXACT.scaleb(Decimal(units), -REMAINDER))


def quantity_to_store(quantity: Decimal | None) -> int | None:
    """Return a quantity in 1e-6 units, None if it is not known or larger than the store can count."""
    if quantity is None or abs(quantity.adjusted()) > 2 * FURTHEST:
        return None
    units = int(EXACT.to_integral_value(EXACT.scaleb(quantity, QUANTITY)))
    return units if abs(units) < 2**63 else None


def quantity_of(stored: int | None) -> Decimal | None:
    """Return a quantity, or a sum of them, from the store's 1e-6 units."""
    return None if stored is None else plain(EXACT.scaleb(Decimal(int(stored)), -QUANTITY))


def plain(value: Decimal) -> Decimal:
    """Drop trailing zeros, without an exponent: 1.500 -> 1.5, 1E+3 -> 1000."""
    value = value.normalize(EXACT)
    exponent = value.as_tuple().exponent
    return Decimal(int(value)) if isinstance(exponent, int) and exponent > 0 else value


def money_total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Add amounts of one currency, exactly; what is not known adds nothing, and a sum of nothing known is None."""
    total = None
    for amount in amounts:
        if amount is not None:
            total = amount if total is None else EXACT.add(total, amount)
    return total


def text(value: Decimal) -> str:
    """Write all digits with a point and at least two decimals, never an exponent: what JSON and CSV carry."""
    written = f"{plain(value):f}"
    whole, _, decimals = written.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"
