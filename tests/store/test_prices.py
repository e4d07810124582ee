"""Prices in the store."""

from decimal import Decimal

import pytest
import sqlalchemy as sa

from monitor.catalogue import bundled, listed_prices
from monitor.domain.prices import PriceBook
from monitor.domain.records import Price
from monitor.errors import SettingsError
from monitor.store.engine import reading, writing
from monitor.store.prices import price_book, sync_prices


def _said(amount: str, effective_from: int = 20_000) -> Price:
    return Price(
        model="mistral-nemo",
        meter="input",
        amount=Decimal(amount),
        per=1_000_000,
        currency="EUR",
        effective_from=effective_from,
        source="settings",
    )


def test_prices_come_back_as_they_went_in_digit_for_digit(engine: sa.Engine) -> None:
    listed, said = listed_prices(bundled()), [_said("0.12345678901234567890")]
    with writing(engine) as connection:
        sync_prices(connection, listed, "list")
        sync_prices(connection, said, "settings")
    with reading(engine) as connection:
        book = price_book(connection)
    assert book.prices() == PriceBook(listed, said).prices()
    found = book.price("mistral-nemo", "input", 20_000)
    assert found is not None
    assert str(found.amount) == "0.12345678901234567890"


def test_a_sync_replaces_the_rows_of_its_origin_and_leaves_the_other(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        sync_prices(connection, [_said("1")], "list")
        sync_prices(connection, [_said("2")], "settings")
        sync_prices(connection, [_said("3")], "settings")
        sync_prices(connection, [_said("3")], "settings")
        assert [price.amount for price in price_book(connection).prices()] == [3]
        sync_prices(connection, [], "settings")
        assert [price.amount for price in price_book(connection).prices()] == [1]


def test_two_prices_of_one_meter_from_one_day_are_refused(engine: sa.Engine) -> None:
    with pytest.raises(SettingsError, match="set twice"), writing(engine) as connection:
        sync_prices(connection, [_said("1"), _said("2")], "settings")
