"""What charts show, reduced to what an eye can tell apart: a few layers, some hundred points, nothing hidden by it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from monitor.domain.answer import DailyCost, Series
from monitor.domain.money import EXACT, money_total

LAYERS = 6
"""Colours that stay apart for colour-blind readers; whatever is smaller shares one further layer."""

OTHERS = "all others"

POINTS = 1_500
"""More points than a chart is wide only hide each other; of each stretch its busiest minute is kept."""


def daily_cost(
    title: str, currency: str, days: Sequence[date], costs: Iterable[tuple[date, str, Decimal]]
) -> DailyCost | None:
    """Stack costs (day, layer, amount) of one currency by day, the largest layers first; None if nothing was spent."""
    by_layer: dict[str, dict[date, Decimal]] = defaultdict(dict)
    for day, layer, amount in costs:
        by_layer[layer][day] = EXACT.add(by_layer[layer].get(day, Decimal(0)), amount)
    ordered = sorted(by_layer, key=lambda layer: (-(money_total(by_layer[layer].values()) or 0), layer))
    series = [_series(layer, days, [by_layer[layer]]) for layer in ordered[:LAYERS]]
    if ordered[LAYERS:]:
        series.append(_series(OTHERS, days, [by_layer[layer] for layer in ordered[LAYERS:]]))
    return DailyCost(title=title, currency=currency, days=days, series=series) if series else None


def _series(name: str, days: Sequence[date], layers: Sequence[Mapping[date, Decimal]]) -> Series:
    return Series(name, [money_total(layer.get(day) for layer in layers) or Decimal(0) for day in days])


def stretch(minutes: int) -> int:
    """Return how many minutes one point of a chart of that many stands for."""
    return max(1, -(-minutes // POINTS))
