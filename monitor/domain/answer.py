"""What a report is asked and what it answers: typed columns, rows, totals, charts and notes, before any format.

Values: text str, day date, instant aware datetime, count int, money Decimal, ratio float (1.0 is the whole), seconds
float, minutes-of-a-limit int. None always means "not known" or "does not apply", never zero.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from monitor.domain.money import money_total
from monitor.domain.period import Period

Kind = Literal["text", "day", "instant", "count", "money", "ratio", "seconds"]
Value = str | int | float | Decimal | date | datetime | None
Row = tuple[Value, ...]


class Column(NamedTuple):
    """One column: its name in JSON and CSV, its label for people, whether people's tables show it and totals sum it.

    `caption` names its total where there is room; by default the name in words. `path`: where there is little room, the
    last segment of its text is enough.
    """

    name: str
    kind: Kind
    label: str
    shown: bool = True
    summed: bool = False
    caption: str = ""
    path: bool = False


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: whole days, perhaps of one workspace, and what was known `as_of` an instant (None: now).

    `zone` is the name of the period's time zone, `currency` the one that people want to see first, `charts` whether
    anybody will look at charts.
    """

    period: Period
    now: datetime
    zone: str = "UTC"
    workspace: str | None = None
    as_of: datetime | None = None
    currency: str = "USD"
    charts: bool = True

    @property
    def known_at(self) -> datetime:
        """The instant whose knowledge is asked for."""
        return self.as_of or self.now


class Series(NamedTuple):
    """One named line or layer of a chart."""

    name: str
    values: Sequence[Decimal]


@dataclass(frozen=True, kw_only=True)
class DailyCost:
    """A chart of money by day, one layer for each series; a layer has a value for every day.

    `without` says what it leaves out, because its amount is not known.
    """

    title: str
    currency: str
    days: Sequence[date]
    series: Sequence[Series]
    without: str = ""


class Peak(NamedTuple):
    """The busiest minute of a stretch of minutes, and how many requests were refused in the stretch."""

    minute: int
    tokens: int
    requests: int
    throttled: int
    token_limit: int


@dataclass(frozen=True, kw_only=True)
class MinuteLoad:
    """A chart of one deployment's tokens per minute against its limit; each peak stands for `stretch` minutes."""

    title: str
    start: datetime
    end: datetime
    stretch: int
    peaks: Sequence[Peak]


Chart = DailyCost | MinuteLoad


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a report found: rows in the order of its columns, and what is worth saying about them."""

    rows: Sequence[Row]
    charts: Sequence[Chart] = ()
    notes: Sequence[str] = ()


State = Literal["current", "behind", "empty"]


class Known(NamedTuple):
    """How far one source is known: `state` is current, behind or empty.

    `ahead` counts its requests whose time lies in the future; what is known ends with the collection all the same.
    """

    source: str
    kind: str
    known_up_to: datetime | None
    state: State
    ahead: int = 0


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums of the columns that can be summed; money only within one currency.

    `counts` by column; `money` by currency, then column. A sum of nothing known is None.
    """

    counts: Mapping[str, int | float | None] = field(default_factory=dict)
    money: Mapping[str, Mapping[str, Decimal | None]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A report's answer, complete and independent of the store."""

    report: str
    title: str
    question: Question
    columns: Sequence[Column]
    rows: Sequence[Row]
    totals: Totals
    completeness: Sequence[Known]
    charts: Sequence[Chart] = ()
    notes: Sequence[str] = ()


def totals(columns: Sequence[Column], rows: Sequence[Row]) -> Totals:
    """Sum the columns marked `summed`, money by the row's column `currency`."""
    at = {column.name: position for position, column in enumerate(columns)}
    counted = [column.name for column in columns if column.summed and column.kind == "count"]
    paid = [column.name for column in columns if column.summed and column.kind == "money"]
    by_currency: dict[str, list[Row]] = {}
    for row in rows if paid else ():
        by_currency.setdefault(str(row[at["currency"]] or ""), []).append(row)
    money = {
        currency: {name: money_total(_amounts(some, at[name])) for name in paid}
        for currency, some in sorted(by_currency.items())
        if currency
    }
    return Totals(counts={name: _count(row[at[name]] for row in rows) for name in counted}, money=money)


def _amounts(rows: Iterable[Row], place: int) -> Iterator[Decimal]:
    return (value for row in rows if isinstance(value := row[place], Decimal))


def _count(values: Iterable[Value]) -> int | float | None:
    known = [value for value in values if isinstance(value, (int, float))]
    return sum(known) if known else None
