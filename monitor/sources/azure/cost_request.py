"""What Cost Management is asked: the days, and the bodies, of which it may refuse some.

A query can group by two columns as documented and by three as seen; what a resource is may be asked of subscriptions
and resource groups only (azure.md, 1.2). So the best query is tried first, and where it is refused the next: what is
lost is the unit where a meter has several, then the resource.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from msgspec import Struct

from monitor.domain.period import month

SOLD_BY_AZURE = ("Foundry Models", "Foundry Tools", "Cognitive Services", "Azure AI Services", "Azure Machine Learning")
"""Services under which Azure bills models that it sells itself; it has renamed them more than once."""
CLOSED_AFTER = timedelta(days=6)
"""A month's charges change until the fifth day of the next one (azure.md, 1.3)."""
MOST_DAYS = 31
"""The most days of one daily query (azure.md, 1.2)."""


class Grouping(Struct, frozen=True, kw_only=True):
    """One way to group. `said`: how it is told from the best one in the name of an answer."""

    columns: tuple[str, ...]
    said: str = ""

    @property
    def by_unit(self) -> bool:
        """Whether each row has its own unit; else the units are a second query."""
        return "UnitOfMeasure" in self.columns

    @property
    def by_resource(self) -> bool:
        """Whether each row says which resource is billed."""
        return "ResourceId" in self.columns


GROUPINGS = (
    Grouping(columns=("ResourceId", "Meter", "UnitOfMeasure")),
    Grouping(columns=("ResourceId", "Meter"), said="by resource and meter"),
    Grouping(columns=("SubscriptionId", "Meter", "UnitOfMeasure"), said="by subscription, meter and unit"),
    Grouping(columns=("SubscriptionId", "Meter"), said="by subscription and meter"),
)
"""From the one that says most to the one that is refused last."""


class Days(Struct, frozen=True, kw_only=True):
    """Whole UTC days of one calendar month, both inclusive, no more than 31. `whole`: all of it that is not to come."""

    first: date
    last: date
    whole: bool = False

    @property
    def name(self) -> str:
        """What they are called: 2026-11 for a month, the first and the last day for part of one."""
        return f"{self.first:%Y-%m}" if self.whole else f"{self.first}..{self.last}"

    @property
    def halves(self) -> tuple["Days", "Days"]:
        """The first and the second half, of more than one day."""
        middle = self.first + (self.last - self.first) // 2
        return Days(first=self.first, last=middle), Days(first=middle + timedelta(days=1), last=self.last)

    @property
    def without_last(self) -> "Days":
        """All but the last day, of more than one."""
        return Days(first=self.first, last=self.last - timedelta(days=1))


def months_of(first: date, last: date, today: date) -> Iterator[Days]:
    """Divide days (both inclusive) by calendar month, so that each query costs one unit; days to come are left out."""
    last = min(last, today)
    while first <= last:
        here = month(first)
        end = min(here.last, last)
        yield Days(first=first, last=end, whole=first == here.first and end == min(here.last, today))
        first = here.last + timedelta(days=1)


def charges_body(days: Days, grouping: Grouping, *, models_only: bool) -> dict[str, Any]:
    """Return the body that asks for the charges of each day; as many aggregations as are documented: two."""
    return _body(days, grouping.columns, {"granularity": "Daily"}, models_only=models_only)


def units_body(days: Days, *, models_only: bool) -> dict[str, Any]:
    """Return the body that asks which units the meters of these days have."""
    return _body(days, ("Meter", "UnitOfMeasure"), {}, models_only=models_only)


def _body(days: Days, columns: tuple[str, ...], more: dict[str, Any], *, models_only: bool) -> dict[str, Any]:
    dataset: dict[str, Any] = {
        **more,
        "aggregation": {
            "totalCost": {"name": "Cost", "function": "Sum"},
            "totalQuantity": {"name": "UsageQuantity", "function": "Sum"},
        },
        "grouping": [{"type": "Dimension", "name": column} for column in columns],
    }
    if models_only:
        # One query finds both: what the Marketplace bills, and what Azure sells itself (azure.md, pitfall 9).
        dataset["filter"] = {"or": [_among("PublisherType", ("Marketplace",)), _among("ServiceName", SOLD_BY_AZURE)]}
    return {
        "type": "ActualCost",
        "timeframe": "Custom",
        "timePeriod": {"from": f"{days.first}T00:00:00Z", "to": f"{days.last}T23:59:59Z"},
        "dataset": dataset,
    }


def _among(dimension: str, values: tuple[str, ...]) -> dict[str, Any]:
    return {"dimensions": {"name": dimension, "operator": "In", "values": list(values)}}
