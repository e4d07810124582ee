"""Loads the bundled catalogue of models, and turns list and settings into prices of the same form."""

import tomllib
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from monitor.config import settings
from monitor.domain.catalogue import Catalogue, Model
from monitor.domain.period import day_number
from monitor.domain.records import Price
from monitor.folders import folder

FILE = "catalogue.toml"
SETTINGS = "settings"


@cache
def bundled() -> Catalogue:
    """Return the catalogue that comes with this version."""
    read = tomllib.loads((folder("data") / FILE).read_text("utf-8"))
    return Catalogue(tuple(_model(entry, read["defaults"]) for entry in read["model"]))


def listed_prices(catalogue: Catalogue) -> list[Price]:
    """Return every list price of the catalogue."""
    return [price for model in catalogue.models.values() for price in model.prices]


def settings_prices(prices: Iterable[settings.Price], catalogue: Catalogue) -> list[Price]:
    """Return the prices of the settings; a model is meant by any of its names, and one that is not known by itself."""
    return [
        Price(
            model=catalogue.canonical(price.model) or price.model,
            meter=price.meter,
            amount=price.amount,
            per=price.per,
            currency=price.currency,
            effective_from=day_number(price.effective_from),
            source=SETTINGS,
        )
        for price in prices
    ]


def _model(entry: dict[str, Any], defaults: dict[str, Any]) -> Model:
    own_compute = entry["kind"] == "managed-compute"
    limits = ("tokens_per_minute", "requests_per_minute")
    return Model(
        slug=entry["slug"],
        name=entry["name"],
        kind=entry["kind"],
        aliases=tuple(entry.get("aliases", ())),
        regions=tuple(entry.get("regions", () if own_compute else defaults["regions"])),
        **{limit: entry.get(limit, None if own_compute else defaults[limit]) for limit in limits},
        context_tokens=entry.get("context_tokens"),
        max_tokens_default=entry.get("max_tokens_default", defaults["max_tokens_default"]),
        retired=entry.get("retired"),
        prices=tuple(_price(entry["slug"], written, defaults) for written in entry.get("prices", ())),
    )


def _price(slug: str, written: list[Any], defaults: dict[str, Any]) -> Price:
    meter, amount, effective_from, source = written
    assert isinstance(effective_from, date)
    return Price(
        model=slug,
        meter=meter,
        amount=Decimal(amount),
        per=defaults["per"],
        currency=defaults["currency"],
        effective_from=day_number(effective_from),
        source=source,
    )
