"""The ledger: what a deployment used on a day, what that costs by the price book, and what was billed for it.

A report day is the day of the report's time zone; charges come by UTC billing day and stand on the report day of the
same date. Tokens are priced by the UTC day on which they were used. One line never holds two currencies.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Literal, NamedTuple

from monitor.domain.money import EXACT, CurrencyMixError
from monitor.domain.period import day_of
from monitor.domain.prices import PriceBook

BillingState = Literal["open", "closed", "missing"]

CLOSING_DAY = 6
"""Azure may change the charges of a month until the fifth day of the next one."""


class Usage(NamedTuple):
    """What one deployment used in the part of a UTC day that belongs to a report day (both since 1970)."""

    day: int
    utc_day: int
    deployment_id: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    failed_requests: int
    throttled_requests: int
    unmeasured_requests: int


class BilledDay(NamedTuple):
    """What was billed for one deployment and UTC day (since 1970) in one currency."""

    day: int
    deployment_id: int
    currency: str
    cost: Decimal


class Line(NamedTuple):
    """One deployment's report day in one currency; None is "not known".

    A further line of the same day and deployment, in another currency, has no requests and no tokens of its own.
    """

    day: int
    deployment_id: int
    currency: str | None
    requests: int
    prompt_tokens: int
    completion_tokens: int
    estimated_cost: Decimal | None
    billed_cost: Decimal | None
    unmeasured_requests: int
    unpriced_requests: int


Key = tuple[int, int]


def lines(
    usage: Iterable[Usage], billed: Iterable[BilledDay], models: Mapping[int, str], book: PriceBook
) -> list[Line]:
    """Put both sides together, by report day and deployment, which `models` names; one side is enough for a line."""
    used: dict[Key, list[Usage]] = defaultdict(list)
    for one in usage:
        used[one.day, one.deployment_id].append(one)
    charged: dict[Key, dict[str, Decimal]] = defaultdict(dict)
    for charge in billed:
        costs = charged[charge.day, charge.deployment_id]
        costs[charge.currency] = _plus(costs.get(charge.currency), charge.cost)
    found: list[Line] = []
    for key in sorted(used.keys() | charged.keys()):
        parts, costs = used.get(key, ()), charged.get(key, _NO_CHARGE)
        estimated, unpriced = _estimated(parts, models[key[1]], book)
        found += _lines_of(key, parts[0] if len(parts) == 1 else _added(key, parts), estimated, unpriced, costs)
    return found


def _plus(one: Decimal | None, other: Decimal) -> Decimal:
    return other if one is None else EXACT.add(one, other)


_NO_CHARGE: dict[str, Decimal] = {}


def _lines_of(
    key: Key, used: Usage, estimated: Mapping[str, Decimal], unpriced: int, charged: Mapping[str, Decimal]
) -> list[Line]:
    """Give the first currency the requests and tokens, any further one only its amounts."""
    first = next(iter(estimated or charged), None)
    costs = (estimated.get(first), charged.get(first)) if first else (None, None)
    line = Line(*key, first, *used[3:6], *costs, used.unmeasured_requests, unpriced)
    further = [one for one in (*estimated, *charged) if one != first]
    return [
        line,
        *(Line(*key, one, 0, 0, 0, estimated.get(one), charged.get(one), 0, 0) for one in dict.fromkeys(further)),
    ]


def _added(key: Key, used: Sequence[Usage]) -> Usage:
    sums = [sum(column) for column in zip(*used, strict=True)][3:] or [0] * 7
    return Usage(key[0], key[0], key[1], *sums)


def _estimated(used: Iterable[Usage], model: str, book: PriceBook) -> tuple[dict[str, Decimal], int]:
    """Price each UTC day's tokens, by currency; count the requests with tokens that have no price.

    A day of refusals alone cost 0, in a currency that nothing else is said in only if there is no other.
    """
    costs: dict[str, Decimal] = {}
    unpriced, idle = 0, None
    for one in used:
        if nothing_measured(one):
            continue
        cost, currency = priced(one, model, book)
        if cost is None or currency is None:
            unpriced += _measured_requests(one)
        elif not one.prompt_tokens and not one.completion_tokens:
            idle = currency
        else:
            costs[currency] = _plus(costs.get(currency), cost)
    return costs or ({idle: Decimal(0)} if idle else {}), unpriced


def nothing_measured(used: Usage) -> bool:
    """Whether requests were answered but none reported tokens: the cost is not known then, and not 0."""
    return not used.prompt_tokens and not used.completion_tokens and used.unmeasured_requests > 0


def priced(used: Usage, model: str, book: PriceBook) -> tuple[Decimal | None, str | None]:
    """Return what the tokens of one UTC day cost and in which currency; None where a price is missing.

    Refused requests alone cost nothing, in the currency of the model's input price. A model whose meters are quoted in
    two currencies has no single price: it counts as unpriced.
    """
    if not used.prompt_tokens and not used.completion_tokens:
        price = book.price(model, "input", used.utc_day)
        return (Decimal(0), price.currency) if price else (None, None)
    try:
        found = book.estimate(model, used.utc_day, used.prompt_tokens, used.completion_tokens, used.cached_tokens)
    except CurrencyMixError:
        return None, None
    return found.cost, found.currency


def _measured_requests(used: Usage) -> int:
    """Requests with tokens: the answered ones that reported them; where none was answered, failed ones that did."""
    if not used.prompt_tokens and not used.completion_tokens:
        return 0
    measured = used.requests - used.unmeasured_requests
    return measured - used.failed_requests - used.throttled_requests or measured - used.throttled_requests


def billing_state(day: int, billed: Decimal | None, known_at: datetime) -> BillingState:
    """Say whether a UTC day's charges are missing, may still change, or are final.

    They are final from the 6th day, 00:00 UTC, of the month after on (Azure: "can change until the fifth day").
    """
    if billed is None:
        return "missing"
    return "closed" if known_at >= closes(day_of(day)) else "open"


@cache
def closes(day: date) -> datetime:
    """Return the instant from which the charges of a UTC day no longer change."""
    following = (day.replace(day=1) + timedelta(days=32)).replace(day=CLOSING_DAY)
    return datetime(following.year, following.month, following.day, tzinfo=UTC)


def add(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """Add two amounts of one currency; what is not known adds nothing."""
    if one is None or other is None:
        return other if one is None else one
    return EXACT.add(one, other)
