"""The ledger's small decisions: which line a currency gets, and when a bill is final."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from monitor.domain.ledger import BilledDay, Usage, closes, lines
from monitor.domain.prices import PriceBook
from monitor.domain.records import MeterClass, Price


def price(meter: MeterClass, currency: str, effective_from: int = 0) -> Price:
    return Price(
        model="m",
        meter=meter,
        amount=Decimal(1),
        per=1,
        currency=currency,
        effective_from=effective_from,
        source="test",
    )


def use(utc_day: int, prompt: int = 1, completion: int = 0) -> Usage:
    return Usage(5, utc_day, 1, 1, prompt, completion, 0, 0, 0, 0)


def test_a_report_day_whose_price_changes_currency_at_utc_midnight_has_a_line_for_each() -> None:
    book = PriceBook([price("input", "USD"), price("input", "EUR", 5)])
    found = lines([use(4, 10), use(5, 20)], [], {1: "m"}, book)
    assert [(one.currency, one.requests, one.estimated_cost) for one in found] == [
        ("USD", 2, Decimal(10)),
        ("EUR", 0, Decimal(20)),
    ]


def test_meters_quoted_in_two_currencies_are_unpriced_and_never_added() -> None:
    book = PriceBook([price("input", "USD"), price("output", "EUR")])
    (line,) = lines([use(5, 1, 1)], [], {1: "m"}, book)
    assert (line.estimated_cost, line.unpriced_requests) == (None, 1)


def test_pitfall_11_charges_in_two_currencies_are_never_added() -> None:
    charges = [BilledDay(5, 1, currency, Decimal(1)) for currency in ("EUR", "USD", "EUR")]
    found = lines([], charges, {1: "m"}, PriceBook([]))
    assert [(one.currency, one.billed_cost) for one in found] == [("EUR", Decimal(2)), ("USD", Decimal(1))]


def test_refusals_before_a_change_of_currency_give_no_line_of_their_own() -> None:
    book = PriceBook([price("input", "USD"), price("input", "EUR", 5)])
    refused = use(4, 0)._replace(throttled_requests=1)
    (line,) = lines([refused, use(5, 20)], [], {1: "m"}, book)
    assert (line.currency, line.requests, line.estimated_cost) == ("EUR", 2, Decimal(20))


def test_a_refused_request_is_never_one_without_a_price() -> None:
    used = use(5, 10)._replace(requests=4, failed_requests=1, throttled_requests=3)
    (line,) = lines([used], [], {1: "m"}, PriceBook([]))
    assert (line.estimated_cost, line.unpriced_requests) == (None, 1)


@pytest.mark.parametrize(
    ("day", "closed"), [(date(2026, 12, 31), date(2027, 1, 6)), (date(2026, 1, 31), date(2026, 2, 6))]
)
def test_a_month_closes_on_the_sixth_of_the_next(day: date, closed: date) -> None:
    assert closes(day) == datetime(closed.year, closed.month, closed.day, tzinfo=UTC)
