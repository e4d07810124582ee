"""Scales of charts: pure functions from values to places on paper."""

import math
from collections.abc import Callable
from datetime import datetime, timedelta

STEPS = (1, 2, 2.5, 5, 10)


def nice_ticks(largest: float, wanted: int = 5) -> list[float]:
    """Return round values from 0 to at least `largest`, about `wanted` of them apart from 0."""
    if largest <= 0:
        return [0.0, 1.0]
    rough = largest / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in STEPS if factor * power >= rough * 0.999_999)
    return [round(number * step, 12) for number in range(math.ceil(largest / step - 1e-9) + 1)]


def linear(first: float, last: float, start: float, end: float) -> Callable[[float], float]:
    """Map first..last to start..end, to a tenth of a pixel."""
    spread = (last - first) or 1
    return lambda value: round(start + (value - first) / spread * (end - start), 1)


def short(value: float) -> str:
    """Write a tick: 1,500 as 1.5k, 2,000,000 as 2M."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"


_APART = [
    *(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30)),
    *(timedelta(hours=hours) for hours in (1, 2, 3, 6, 12)),
    *(timedelta(days=days) for days in (1, 2, 5, 7, 14, 31, 62, 92, 183, 366)),
]


def time_ticks(start: datetime, end: datetime, wanted: int = 8) -> list[tuple[datetime, str]]:
    """Return instants at equal distances of a usual length from the start on, each with its label."""
    apart = next((length for length in _APART if (end - start) / length <= wanted), _APART[-1])
    form = "%b %-d" if apart >= timedelta(days=1) else "%b %-d %H:%M" if end - start > timedelta(days=1) else "%H:%M"
    count = int((end - start) / apart) + 1
    instants = [start + number * apart for number in range(count)]
    return [(instant, f"{instant:{form}}") for instant in instants if instant < end]
