"""Money: exact decimals in Python; in the store whole 1e-9 units plus a remainder in 1e-20 units.

Billers write up to 20 decimals. Two whole numbers keep them all, and both columns can be summed by any SQL engine
without losing a digit.
"""

from decimal import Context, Decimal, InvalidOperation

NANO = 9
REMAINDER = 20

EXACT = Context(prec=60)
"""Wide enough for every product of a token count and a price; addition and multiplication in it never round."""


class CurrencyMixError(ValueError):
    """Two currencies were about to be added."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other} cannot be added")


def parse(text: str) -> Decimal:
    """Parse a plain or exponent decimal with a point; ValueError for anything else, NaN and infinities included."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError("not a decimal number") from None
    if not value.is_finite():
        raise ValueError("not a finite number")
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


def plain(value: Decimal) -> Decimal:
    """Drop trailing zeros, without an exponent: 1.500 -> 1.5, 1E+3 -> 1000."""
    value = value.normalize(EXACT)
    exponent = value.as_tuple().exponent
    return value.quantize(Decimal(1), context=EXACT) if isinstance(exponent, int) and exponent > 0 else value


def text(value: Decimal) -> str:
    """Write all digits with a point and at least two decimals, never an exponent: what JSON and CSV carry."""
    written = f"{plain(value):f}"
    whole, _, decimals = written.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"
