"""Forecast: what a running month will have cost when it ends, as far as its last days tell."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from monitor.domain.money import EXACT, money_total
from monitor.domain.period import Period

LOOKBACK_DAYS = 7
"""A whole week, so that working days and weekends both have their part."""

_SHOWN = Decimal("0.000001")


def days_left(period: Period, now: datetime) -> Decimal:
    """Return how much of the period is still to come, in days; the running day counts with the part that is left."""
    left = max(period.end - now, timedelta(0))
    return EXACT.divide(Decimal(left // timedelta(seconds=1)), Decimal(86_400))


def cost_at_end(so_far: Decimal, recent: Sequence[Decimal], left: Decimal) -> Decimal:
    """Return the cost so far plus the mean of the `recent` complete days for each day left, to 1e-6 of the currency.

    Without a complete day there is no rate to go by: ValueError.
    """
    if not recent:
        raise ValueError("no complete day to forecast from")
    mean = EXACT.divide(money_total(recent) or Decimal(0), Decimal(len(recent)))
    return EXACT.add(so_far, EXACT.multiply(mean, left)).quantize(_SHOWN, context=EXACT)
