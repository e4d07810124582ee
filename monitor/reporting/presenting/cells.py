"""One value as text: exact for programs, rounded and grouped for people."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal

from monitor.domain.answer import Kind, Value
from monitor.domain.money import EXACT, text
from monitor.domain.period import rfc3339

RATIO_DIGITS = 6
NUMERIC: frozenset[Kind] = frozenset({"count", "money", "ratio", "seconds"})

_LARGE = Decimal(100)
"""From here on nobody misses the third and fourth decimal of money."""


def exact(value: Value) -> str | int | float | None:
    """Return a value as JSON carries it: money as text with all its digits, times in RFC 3339, ratios as numbers."""
    if isinstance(value, Decimal):
        return text(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, date):
        return value.isoformat()
    return round(value, RATIO_DIGITS) if isinstance(value, float) else value


def shown(value: Value, kind: Kind, decimals: int = 2) -> str:
    """Return a value as people read it; what is not known is a dash."""
    if value is None or value == "":
        return "–"  # noqa: RUF001 - a dash as wide as a digit.
    if isinstance(value, Decimal):
        return _money(value, decimals)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    if kind == "ratio" and isinstance(value, (int, float)):
        return f"{value:.1%}"
    if kind == "seconds":
        return f"{value:,}"
    return f"{value:,}" if isinstance(value, int) else printable(str(value))


def decimals(amounts: Iterable[Value]) -> int:
    """Return how many decimals a column of money needs: 2, or 4 while all its amounts are small."""
    known = [abs(amount) for amount in amounts if isinstance(amount, Decimal)]
    return 4 if known and max(known) < _LARGE else 2


def printable(said: str) -> str:
    """Replace what moves a cursor, rings a bell or turns text around: names come from logs that anybody may write."""
    return "".join(letter if letter.isprintable() else _instead(letter) for letter in said)


def _instead(letter: str) -> str:
    return " " if letter.isspace() else "\N{REPLACEMENT CHARACTER}"


def _money(value: Decimal, decimals: int) -> str:
    smallest = Decimal(1).scaleb(-decimals)
    if value and abs(value) < smallest / 2:
        return f"<{smallest}" if value > 0 else f">-{smallest}"
    return f"{value.quantize(smallest, context=EXACT):,}"
