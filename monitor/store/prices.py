"""Prices as they stood when something was computed: the list's and the settings', each replaced as a whole."""

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from monitor.domain.period import day_of
from monitor.domain.prices import PriceBook
from monitor.domain.records import Price
from monitor.errors import SettingsError
from monitor.store.tables import price as table

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Origin = Literal["list", "settings"]


def sync_prices(connection: "Connection", prices: Iterable[Price], recorded_from: Origin) -> None:
    """Make the rows of that origin be exactly these; SettingsError if one meter has two prices from the same day."""
    rows = [_row(price, recorded_from) for price in prices]
    _refuse_two(rows)
    connection.execute(sa.delete(table).where(table.c.recorded_from == recorded_from))
    if rows:
        connection.execute(sa.insert(table), rows)


def price_book(connection: "Connection") -> PriceBook:
    """Read the prices back, those of the settings before those of the list."""
    read: dict[str, list[Price]] = {"list": [], "settings": []}
    for row in connection.execute(sa.select(table)):
        read[row.recorded_from].append(
            Price(
                model=row.model,
                meter=row.meter,
                amount=Decimal(row.amount),
                per=row.per,
                currency=row.currency,
                effective_from=row.effective_from,
                source=row.source,
            )
        )
    return PriceBook(read["list"], read["settings"])


def _row(price: Price, recorded_from: Origin) -> dict[str, object]:
    return {
        "model": price.model,
        "meter": price.meter,
        "effective_from": price.effective_from,
        "recorded_from": recorded_from,
        "amount": str(price.amount),
        "per": price.per,
        "currency": price.currency,
        "source": price.source,
    }


def _refuse_two(rows: list[dict[str, object]]) -> None:
    seen = set()
    for row in rows:
        key = (row["model"], row["meter"], row["effective_from"])
        if key in seen:
            day = day_of(int(str(row["effective_from"])))
            raise SettingsError(
                f"price of {row['model']} {row['meter']}", f"is set twice from {day}", "keep one of them"
            )
        seen.add(key)
