"""Reconciliation: what was logged next to what was billed, meter by meter, and why they differ.

Days are UTC billing days, also where the report has another time zone: only then both sides speak of the same hours.
Quantities are tokens; `coverage` is the logged part of what was billed. `difference` (billed - estimated) is the sum of
`usage_difference_cost` (other quantities, at the book's price), `price_difference_cost` (another price) and
`unexplained_cost`. `state`: matched, quantity-gap, price-gap, unexplained, not-billed-yet, never-billed (the day is
closed), usage-missing (billed, nothing logged), unpriced, not-estimated (a meter that logs say nothing about),
currency-differs (one row for each currency), unattributed (the charge fits no deployment).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, cast

from monitor.domain.answer import Column, Found, Question, Row
from monitor.domain.ledger import Usage, add, closes
from monitor.domain.money import money_total
from monitor.domain.period import Period, day_number, day_of
from monitor.domain.prices import PriceBook
from monitor.domain.reconcile import LOGGED_METERS, Comparison, Sides, compare, only_billed
from monitor.domain.records import MeterClass
from monitor.reporting.presenting.cells import shown
from monitor.reporting.spending import billing_days_note, unattributed_note
from monitor.store.billed import Billed, billed
from monitor.store.deployments import Deployed, deployments
from monitor.store.prices import price_book
from monitor.store.rollups import usage

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COLUMNS = (
    Column("day", "day", "Day"),
    Column("workspace", "text", "Workspace"),
    Column("deployment", "text", "Deployment"),
    Column("model", "text", "Model", shown=False),
    Column("meter", "text", "Meter"),
    Column("currency", "text", "Cur."),
    Column("estimated_quantity", "count", "Logged", summed=True),
    Column("billed_quantity", "count", "Billed qty", summed=True),
    Column("coverage", "ratio", "Coverage"),
    Column("estimated_cost", "money", "Estimated", summed=True),
    Column("billed_cost", "money", "Billed", summed=True),
    Column("difference", "money", "Difference", summed=True, caption="Difference, where both are known"),
    Column("usage_difference_cost", "money", "By usage", summed=True),
    Column("price_difference_cost", "money", "By price", summed=True),
    Column("unexplained_cost", "money", "Rest", summed=True),
    Column("state", "text", "State"),
)


class Key(NamedTuple):
    """What is compared; deployment None: unattributed."""

    day: int
    deployment_id: int | None
    meter: str
    model: str


class Charged(NamedTuple):
    """The charges of one key in one currency; the quantity is None if that of any charge is not known."""

    quantity: Decimal | None
    cost: Decimal | None


Apart = Set[tuple[int, int | None]]
"""Days and deployments whose cached tokens are metered apart."""


class Compared(NamedTuple):
    """Both sides of one key, as read."""

    key: Key
    used: Usage | None
    charged: Mapping[str, Charged]
    apart: Apart


def answer(connection: "Connection", question: Question) -> Found:
    """Answer with one row per UTC day, deployment, meter and currency, by day, workspace, deployment and meter."""
    deployed = deployments(connection, question.workspace)
    utc = Period(first=question.period.first, last=question.period.last)
    used = {(one.utc_day, one.deployment_id): one for one in usage(connection, utc, deployed)}
    charged = _charged(
        billed(connection, day_number(utc.first), day_number(utc.last), question.as_of), deployed, question
    )
    book = price_book(connection)
    apart = _cache_apart(used, deployed, book, charged)
    keys = charged.keys() | set(_logged(used, deployed, apart))
    rows = [
        _row(key, deployed, one)
        for key in keys
        for one in _compared(
            Compared(key, used.get((key.day, key.deployment_id or 0)), charged.get(key, {}), apart), book, question
        )
    ]
    rows.sort(key=lambda row: (row[0], row[1] is None, row[1] or "", row[2] or "", row[4], row[5] or ""))
    notes = [*billing_days_note(question), *totals_in_words(rows), *unattributed_note(connection, question)]
    return Found(rows=rows, notes=notes)


class Amounts(NamedTuple):
    """What the notes need of a row."""

    currency: str | None
    meter: str
    estimated: Decimal | None
    billed: Decimal | None
    difference: Decimal | None
    state: str


def totals_in_words(rows: Iterable[Row]) -> list[str]:
    """Say of each currency which amounts are compared, and by state which are left out of the difference."""
    amounts = [Amounts(*(row[place] for place in (5, 4, 9, 10, 11, 15))) for row in rows]  # type: ignore[arg-type]
    notes = []
    for currency in sorted({one.currency for one in amounts if one.currency}):
        some = [one for one in amounts if one.currency == currency]
        apart = [one for one in some if one.difference is None]
        if apart:
            notes += [_compared_in_words(some, currency), _left_out(apart, currency)]
    unpriced = sum(one.currency is None for one in amounts)
    if unpriced:
        notes.append(f"Without a price and not billed yet: {unpriced:,} rows, without any amount.")
    if any(one.meter not in LOGGED_METERS for one in amounts):
        notes.append("The total of billed quantities includes meters whose unit is no token, such as hours of hosting.")
    return notes


def _compared_in_words(some: Sequence[Amounts], currency: str) -> str:
    both = [one for one in some if one.difference is not None]
    difference = money_total(one.difference for one in both)
    if difference is None:
        return f"Nothing in {currency} can be compared."
    return (
        f"Compared in {currency}: {_sum(both, 'estimated')} of {_sum(some, 'estimated')} estimated and"
        f" {_sum(both, 'billed')} of {_sum(some, 'billed')} billed; the difference of {shown(difference, 'money')}"
        " is theirs."
    )


def _left_out(apart: Sequence[Amounts], currency: str) -> str:
    """Say how many rows of each state have no difference, and how much money they are about."""
    said = []
    for state in sorted({one.state for one in apart}):
        some = [one for one in apart if one.state == state]
        sides = [
            f"{_sum(some, side)} {side}"
            for side in ("estimated", "billed")
            if money_total(_side(some, side)) is not None
        ]
        said.append(f"{len(some):,} {state} ({', '.join(sides)})")
    return f"Left out in {currency}: {'; '.join(said)}."


def _side(some: Iterable[Amounts], side: str) -> Iterator[Decimal | None]:
    return (getattr(one, side) for one in some)


def _sum(some: Iterable[Amounts], side: str) -> str:
    return shown(money_total(_side(some, side)) or Decimal(0), "money")


def _charged(
    found: Iterable[Billed], deployed: Mapping[int, Deployed], question: Question
) -> dict[Key, dict[str, Charged]]:
    """Sum charges by key and currency; those that fit no deployment only where no workspace is asked for."""
    sums: dict[Key, dict[str, Charged]] = defaultdict(dict)
    for one in found:
        if one.deployment_id is None:
            if question.workspace is not None:
                continue
            key = Key(one.day, None, one.meter, one.model or "")
        elif one.deployment_id in deployed:
            key = Key(one.day, one.deployment_id, one.meter, deployed[one.deployment_id].model)
        else:
            continue
        before = sums[key].get(one.currency, Charged(Decimal(0), Decimal(0)))
        unknown = before.quantity is None or one.consumed_quantity is None or one.rows_without_quantity
        quantity = None if unknown else add(before.quantity, one.consumed_quantity)
        sums[key][one.currency] = Charged(quantity, add(before.cost, one.billed_cost) or Decimal(0))
    return sums


Used = Mapping[tuple[int, int], Usage]


def _cache_apart(used: Used, deployed: Mapping[int, Deployed], book: PriceBook, charged: Iterable[Key]) -> Apart:
    """Return the days and deployments whose cached tokens a price or a charge tells apart from other input."""
    billed_apart = {(key.day, key.deployment_id) for key in charged if key.meter == "cache"}
    priced_apart = {key for key in used if book.price(deployed[key[1]].model, "cache", key[0]) is not None}
    return billed_apart | priced_apart


def _logged(used: Used, deployed: Mapping[int, Deployed], apart: Apart) -> Iterator[Key]:
    """Name the meters whose tokens were logged."""
    for (day, number), one in used.items():
        for meter in LOGGED_METERS:
            if tokens(one, meter, (day, number) in apart):
                yield Key(day, number, meter, deployed[number].model)


def tokens(used: Usage, meter: str, cache_apart: bool) -> int:
    """Return the logged tokens of a meter; cached ones are part of the input unless they are metered apart."""
    cached = min(used.cached_tokens, used.prompt_tokens) if cache_apart else 0
    return {"input": used.prompt_tokens - cached, "output": used.completion_tokens, "cache": cached}[meter]


def _compared(both: Compared, book: PriceBook, question: Question) -> Iterator[Comparison]:
    key, charged = both.key, both.charged
    if key.deployment_id is None:
        yield from (only_billed("unattributed", *one, currency) for currency, one in charged.items())
    elif key.meter not in LOGGED_METERS:
        yield from (only_billed("not-estimated", *one, currency) for currency, one in charged.items())
    else:
        yield from _both_sides(both, book, question)


def _both_sides(both: Compared, book: PriceBook, question: Question) -> Iterator[Comparison]:
    """Compare the logged tokens with the charges in the price's currency, else the first ones; others stand alone."""
    key, used, charged, apart = both
    price = book.price(key.model, cast("MeterClass", key.meter), key.day)
    if price is None and key.meter == "cache":
        price = book.price(key.model, "input", key.day)
    met = price.currency if price and price.currency in charged else min(charged, default=None)
    cost = charged[met] if met else Charged(None, None)
    yield from compare(
        Sides(
            used=used is not None,
            estimated_quantity=tokens(used, key.meter, (key.day, key.deployment_id) in apart) if used else 0,
            price=price,
            billed_quantity=cost.quantity,
            billed_cost=cost.cost,
            billing_currency=met,
            closed=question.known_at >= closes(day_of(key.day)),
        )
    )
    for currency, other in charged.items():
        if currency != met:
            yield only_billed("currency-differs", *other, currency)


def _row(key: Key, deployed: Mapping[int, Deployed], found: Comparison) -> Row:
    one = None if key.deployment_id is None else deployed[key.deployment_id]
    return (
        day_of(key.day),
        one.workspace or None if one else None,
        one.name or None if one else None,
        key.model or None,
        key.meter,
        found.currency,
        found.estimated_quantity,
        _number(found.billed_quantity),
        found.coverage,
        found.estimated_cost,
        found.billed_cost,
        found.difference,
        found.usage_difference_cost,
        found.price_difference_cost,
        found.unexplained_cost,
        found.state,
    )


def _number(quantity: Decimal | None) -> int | float | None:
    if quantity is None:
        return None
    return int(quantity) if quantity == quantity.to_integral_value() else float(quantity)
