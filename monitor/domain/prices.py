"""What tokens cost: prices that change on a day, the settings' before the list's, and exact arithmetic.

The rule, for each (model, meter): on days before the first price of the settings the list counts; from that day on
only the settings count, each of their prices until the next one begins. A later change of the list does not undo what
an operator said. A price counts from its `effective_from` on, that UTC day included.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from msgspec import Struct

from monitor.domain.money import EXACT, CurrencyMixError, plain
from monitor.domain.records import MeterClass, Price


class Estimate(Struct, frozen=True, kw_only=True):
    """Tokens times price. `cost` is None exactly where `unpriced`: tokens of a meter that has no price on that day."""

    cost: Decimal | None
    currency: str | None
    unpriced: bool


_UNPRICED = Estimate(cost=None, currency=None, unpriced=True)
_NOTHING = Estimate(cost=Decimal(0), currency=None, unpriced=False)


class PriceBook:
    """The prices in force on each day."""

    def __init__(self, listed: Iterable[Price], settings: Iterable[Price] = ()) -> None:
        """Merge the list's and the settings' prices by the rule above."""
        self._remembered: dict[tuple[str, MeterClass, int], tuple[Decimal, str] | None] = {}
        said = _by_meter(settings)
        self._prices: dict[tuple[str, MeterClass], list[Price]] = dict(said)
        for key, prices in _by_meter(listed).items():
            until = said[key][0].effective_from if key in said else None
            kept = [price for price in prices if until is None or price.effective_from < until]
            self._prices[key] = [*kept, *said.get(key, [])]

    def price(self, model: str, meter: MeterClass, day: int) -> Price | None:
        """Return the price in force on a UTC day (days since 1970-01-01), None if there is none."""
        prices = self._prices.get((model, meter), [])
        position = bisect_right(prices, day, key=lambda price: price.effective_from)
        return prices[position - 1] if position else None

    def prices(self) -> list[Price]:
        """Return all prices that are in force on some day, by model, meter and day."""
        return [price for key in sorted(self._prices) for price in self._prices[key]]

    def estimate(
        self, model: str | None, day: int, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0
    ) -> Estimate:
        """Return what the tokens of one UTC day cost.

        Cached tokens are part of the prompt's; they cost what the "cache" meter says, without one what the input costs.
        CurrencyMixError if the meters are priced in different currencies.
        """
        if model is None:
            return (
                _UNPRICED
                if prompt_tokens or completion_tokens
                else Estimate(cost=Decimal(0), currency=None, unpriced=False)
            )
        cached = min(cached_tokens, prompt_tokens)
        if cached and self._per_token(model, "cache", day) is None:
            cached = 0
        counts: tuple[tuple[MeterClass, int], ...] = (
            ("input", prompt_tokens - cached),
            ("cache", cached),
            ("output", completion_tokens),
        )
        total, currency = Decimal(0), None
        for meter, count in counts:
            if count:
                price = self._per_token(model, meter, day)
                if price is None:
                    return _UNPRICED
                if currency not in (None, price[1]):
                    raise CurrencyMixError(str(currency), price[1])
                currency = price[1]
                total = Decimal(count).fma(price[0], total, EXACT)
        return Estimate(cost=total, currency=currency, unpriced=False)

    def _per_token(self, model: str, meter: MeterClass, day: int) -> tuple[Decimal, str] | None:
        """Return the exact price of one token and its currency; remembered, since reports ask for thousands of days."""
        key = (model, meter, day)
        if key not in self._remembered:
            price = self.price(model, meter, day)
            self._remembered[key] = None if price is None else (cost(1, price), price.currency)
        return self._remembered[key]


def cost(tokens: int, price: Price) -> Decimal:
    """Return what that many tokens cost, exactly: the division ends because `per` has only the factors 2 and 5."""
    return plain(EXACT.divide(EXACT.multiply(Decimal(tokens), price.amount), Decimal(price.per)))


def _by_meter(prices: Iterable[Price]) -> dict[tuple[str, MeterClass], list[Price]]:
    grouped: dict[tuple[str, MeterClass], list[Price]] = defaultdict(list)
    for price in sorted(prices, key=lambda price: price.effective_from):
        grouped[price.model, price.meter].append(price)
    return dict(grouped)
