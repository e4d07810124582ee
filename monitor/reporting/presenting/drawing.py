"""Charts laid out: every bar, line and label with its place on paper, ready for a template to write as SVG."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from monitor.domain.answer import DailyCost, MinuteLoad, Peak
from monitor.domain.money import EXACT, money_total
from monitor.domain.period import MINUTES_A_DAY, instant_of, minute_number
from monitor.reporting.presenting.cells import decimals, shown
from monitor.reporting.presenting.scales import linear, nice_ticks, short, time_ticks

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 704, 16, 228


class Tick(NamedTuple):
    """A label and its place on an axis."""

    at: float
    label: str


class Bar(NamedTuple):
    """One layer of one day."""

    x: float
    y: float
    width: float
    height: float
    layer: int
    said: str


class Mark(NamedTuple):
    """A place with refused requests."""

    x: float
    said: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One chart: what a template writes, and the same facts as a table beside it."""

    kind: str
    title: str
    description: str
    y_ticks: Sequence[Tick]
    x_ticks: Sequence[Tick]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    layers: Sequence[str] = ()
    without: str = ""
    bars: Sequence[Bar] = ()
    area: str = ""
    line: str = ""
    limit: str = ""
    marks: Sequence[Mark] = ()


def daily_cost(chart: DailyCost) -> Drawing:
    """Stack each day's layers from the bottom up."""
    sums = [
        money_total(layer.values[number] for layer in chart.series) or Decimal(0) for number in range(len(chart.days))
    ]
    ticks = nice_ticks(float(max(sums)))
    y = linear(0, ticks[-1], BOTTOM, TOP)
    most = max(range(len(sums)), key=lambda number: sums[number])
    return Drawing(
        kind="daily",
        title=chart.title,
        description=f"The most was {shown(sums[most], 'money')} {chart.currency} on {chart.days[most]}.",
        y_ticks=[Tick(y(tick), short(tick)) for tick in ticks],
        x_ticks=_day_ticks(chart.days),
        head=["Day", *(layer.name for layer in chart.series), *(["All"] if len(chart.series) > 1 else [])],
        rows=_daily_rows(chart, sums),
        layers=[layer.name for layer in chart.series],
        without=chart.without,
        bars=_bars(chart, y),
    )


def _slot(days: int) -> float:
    return (RIGHT - LEFT) / days


def _day_ticks(days: Sequence[date]) -> list[Tick]:
    every = -(-len(days) // 8)
    return [
        Tick(round(LEFT + (number + 0.5) * _slot(len(days)), 1), f"{day:%b} {day.day}")
        for number, day in enumerate(days)
        if number % every == 0
    ]


def _bars(chart: DailyCost, y: Callable[[float], float]) -> list[Bar]:
    slot = _slot(len(chart.days))
    width = round(min(slot * 0.78, 56), 1)
    bars = []
    for number, day in enumerate(chart.days):
        below = Decimal(0)
        for position, layer in enumerate(chart.series):
            amount = layer.values[number]
            if amount > 0:
                top, bottom = y(float(EXACT.add(below, amount))), y(float(below))
                x = round(LEFT + number * slot + (slot - width) / 2, 1)
                said = f"{day} {layer.name}: {shown(amount, 'money', 4)} {chart.currency}"
                bars.append(Bar(x, top, width, round(bottom - top, 1), position, said))
                below = EXACT.add(below, amount)
    return bars


def _daily_rows(chart: DailyCost, sums: Sequence[Decimal]) -> list[list[str]]:
    places = decimals(sums)
    return [
        [
            day.isoformat(),
            *(shown(layer.values[number], "money", places) for layer in chart.series),
            *([shown(sums[number], "money", places)] if len(chart.series) > 1 else []),
        ]
        for number, day in enumerate(chart.days)
    ]


def minute_load(chart: MinuteLoad) -> Drawing:
    """Draw the busiest minute of every stretch, the limit as it changed, and where requests were refused."""
    peaks = chart.peaks
    largest = max(max(peak.tokens, peak.token_limit) for peak in peaks)
    ticks = nice_ticks(largest * 1.02)
    y = linear(0, ticks[-1], BOTTOM, TOP)
    x = linear(minute_number(chart.start), minute_number(chart.end), LEFT, RIGHT)
    busiest = max(peaks, key=lambda peak: peak.tokens)
    refused = sum(peak.throttled for peak in peaks)
    line = _line(chart, x, y)
    return Drawing(
        kind="minutes",
        title=chart.title,
        description=f"Busiest minute: {busiest.tokens:,} of {busiest.token_limit:,} tokens; {refused:,} refused.",
        y_ticks=[Tick(y(tick), short(tick)) for tick in ticks],
        x_ticks=[Tick(x(minute_number(at)), label) for at, label in time_ticks(chart.start, chart.end)],
        head=["Day", "Busiest minute, tokens", "Limit", "Busiest minute, requests", "Refused (429)"],
        rows=[_load_row(list(day)) for _, day in groupby(peaks, key=lambda peak: peak.minute // MINUTES_A_DAY)],
        area=f"M{LEFT},{BOTTOM} L{line} L{x(peaks[-1].minute + chart.stretch)},{BOTTOM} Z",
        line=f"M{line}",
        limit=_limit(chart, x, y),
        marks=[_mark(peak, x, chart.stretch) for peak in peaks if peak.throttled],
    )


def _line(chart: MinuteLoad, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    return " ".join(f"{x(peak.minute + chart.stretch / 2)},{y(peak.tokens)}" for peak in chart.peaks)


def _limit(chart: MinuteLoad, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    steps = []
    for limit, some in groupby(chart.peaks, key=lambda peak: peak.token_limit):
        run = list(some)
        steps.append(f"{x(run[0].minute)},{y(limit)} {x(run[-1].minute + chart.stretch)},{y(limit)}")
    return "M" + " L".join(steps)


def _mark(peak: Peak, x: Callable[[float], float], stretch: int) -> Mark:
    at = instant_of(peak.minute)
    upto = "" if stretch == 1 else f" to {at + timedelta(minutes=stretch):%H:%M}"
    return Mark(x(peak.minute + stretch / 2), f"{at:%Y-%m-%d %H:%M}{upto}: {peak.throttled:,} refused")


def _load_row(day: list[Peak]) -> list[str]:
    return [
        f"{instant_of(day[0].minute):%Y-%m-%d}",
        f"{max(peak.tokens for peak in day):,}",
        f"{max(peak.token_limit for peak in day):,}",
        f"{max(peak.requests for peak in day):,}",
        f"{sum(peak.throttled for peak in day):,}",
    ]
