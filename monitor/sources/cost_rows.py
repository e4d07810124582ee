"""One row of a cost export: a charge, a row of another service, or one that cannot be understood."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal, NamedTuple

from monitor.domain.catalogue import Catalogue
from monitor.domain.meters import block_size
from monitor.domain.money import EXACT, LARGEST
from monitor.domain.records import Charge, Ignored, Rejected, scope_of
from monitor.sources.cost_answer import Place
from monitor.sources.cost_columns import Columns
from monitor.sources.cost_numbers import (
    ABSENT,
    Point,
    Style,
    day_order,
    decimal_mark,
    needs_order,
    read_day,
    read_number,
)
from monitor.sources.cost_recognition import Recognised, Words, recognise
from monitor.sources.cost_tables import Row, Table

Include = Literal["models", "all"]
NO_CURRENCY = "XXX"
"""ISO 4217's code for a transaction without a currency."""
REMEMBERED = 1 << 16
IDENTIFYING = (
    "publisher_type",
    "publisher_name",
    "meter_category",
    "meter_subcategory",
    "meter_name",
    "product",
    "plan",
    "offer",
    "service",
    "resource_id",
    "resource_name",
    "resource_type",
    "subscription",
    "billing_account",
)
"""The fields that an `Identity` is made of."""

OTHER_SERVICE = Ignored("not a charge of a model offer")
MALFORMED = Rejected("not as many fields as the header")
NO_DAY = Rejected("the day is absent")
BAD_DAY = Rejected("the day is not a date in the form that the export uses")
NO_COST = Rejected("the cost is absent")
BAD_COST = Rejected("the cost is not a number in the form that the export uses")
TOO_LARGE = Rejected("the cost is larger than can be kept")


def style_of(table: Table) -> Style:
    """Return how a table writes days and numbers, from as many rows as it takes to prove it.

    Only a table whose delimiter or headers are those of another language than English can have decimal commas.
    """
    cells = Cells(table.columns)
    order: bool | None = None
    mark: Point | None = None if table.comma or table.columns.localised else "point"
    for _, row in table.rows:
        if row is None:
            continue
        day = cells.first(row, "day")
        if order is None and day:
            order = False if not needs_order(day) else _order(cells, row, day)
        mark = mark or next(filter(None, map(decimal_mark, _numbers(cells, row))), None)
        if order is not None and mark:
            break
    return Style(day_first=order, decimal=mark or "unproven")


def _order(cells: "Cells", row: Row, day: str) -> bool | None:
    others = [cells.first(row, "service_start"), cells.first(row, "service_end")]
    return day_order(day, others, cells.first(row, "period_start"), cells.first(row, "period_end"))


def _numbers(cells: "Cells", row: Row) -> Iterator[str]:
    for field in ("cost", "quantity"):
        yield cells.first(row, field)


class Identity(NamedTuple):
    """What a row is about: the same for all rows of one meter of one resource."""

    recognised: Recognised
    resource: str
    subscription: str
    billing_account: str


class Cells:
    """Reads the cells of a row by field."""

    def __init__(self, columns: Columns) -> None:
        self._positions = columns.positions

    def first(self, row: Row, field: str) -> str:
        """Return the first cell of the field that says something, '' if none does."""
        for position in self._positions.get(field, ()):
            text = (row[position] or "").strip()
            if text.lower() not in ABSENT:
                return text
        return ""

    def all(self, row: Row, field: str) -> str:
        """Return all that the cells of the field say."""
        return " | ".join(filter(None, ((row[position] or "").strip() for position in self._positions.get(field, ()))))


class RowReader:
    """Reads the rows of one table; remembers what it has understood, for bills repeat themselves."""

    def __init__(self, columns: Columns, style: Style, include: Include, catalogue: Catalogue) -> None:
        self._cells, self._columns, self._style = Cells(columns), columns, style
        self._include, self._catalogue = include, catalogue
        self._cost_at = columns.first("cost")
        self._said_at = sorted({place for name in IDENTIFYING for place in columns.positions.get(name, ())})
        self._identities: dict[tuple[str | None, ...], Identity] = {}
        self._days: dict[str, int | Rejected] = {}
        self._texts: dict[str, str] = {}

    def read(self, row: Row | None) -> tuple[Place | None, Charge | Ignored | Rejected]:
        """Return the scope and day a row belongs to, as far as they can be read, and what the row is."""
        if row is None:
            return None, MALFORMED
        day = self._day(self._cells.first(row, "day"))
        identity = self._identify(row)
        place = (scope_of(identity.subscription, identity.billing_account), day) if isinstance(day, int) else None
        if self._include == "models" and not identity.recognised.is_model:
            return place, OTHER_SERVICE
        if isinstance(day, Rejected):
            return None, day
        return place, self._charge(row, day, identity)

    def _charge(self, row: Row, day: int, identity: Identity) -> Charge | Rejected:
        found = identity.recognised
        cost = self._cost(row, marketplace=found.marketplace)
        if isinstance(cost, Rejected):
            return cost
        first, keep = self._cells.first, self._keep
        quantity, unit = self._number(first(row, "quantity")), first(row, "unit")
        return Charge(
            charge_period_start=day,
            billed_cost=cost,
            billing_currency=keep(first(row, "currency").upper() or NO_CURRENCY),
            meter=found.meter,
            meter_name=keep(first(row, "meter_name")),
            pricing_quantity=quantity,
            pricing_unit=keep(unit),
            consumed_quantity=self._consumed(row, quantity, unit),
            resource_id=keep(identity.resource),
            sub_account_id=keep(identity.subscription),
            billing_account_id=keep(identity.billing_account),
            publisher_name=keep(first(row, "publisher_name")),
            plan=keep(first(row, "plan")),
            charge_category=keep(first(row, "charge_category")),
            model=found.model,
            marketplace=found.marketplace,
        )

    def _keep(self, text: str) -> str:
        """Return one and the same text for equal texts: a million rows name a few resources."""
        return self._texts.setdefault(text, text)

    def _day(self, text: str) -> int | Rejected:
        known = self._days.get(text)
        if known is None:
            known = self._days[text] = self._read_day(text)
        return known

    def _read_day(self, text: str) -> int | Rejected:
        if not text:
            return NO_DAY
        try:
            return read_day(text, day_first=self._style.day_first)
        except ValueError:
            return BAD_DAY

    def _cost(self, row: Row, *, marketplace: bool) -> Decimal | Rejected:
        """Return what was billed.

        FOCUS lets BilledCost be 0 where a third party is paid, which would make every Marketplace row free: there the
        effective cost is what the customer pays (azure.md, 1.7).
        """
        text = (row[self._cost_at] or "").strip() if self._cost_at is not None else ""
        if text.lower() in ABSENT:
            return NO_COST
        cost = self._number(text)
        if cost is None:
            return BAD_COST
        if self._columns.focus and marketplace and not cost:
            cost = self._number(self._cells.first(row, "effective_cost")) or cost
        return cost if abs(cost) < LARGEST else TOO_LARGE

    def _number(self, text: str) -> Decimal | None:
        try:
            return read_number(text, self._style.decimal)
        except ValueError:
            return None

    def _consumed(self, row: Row, quantity: Decimal | None, unit: str) -> Decimal | None:
        """Return the quantity in single units, None where the size of the quoted unit is not known."""
        consumed_unit = self._cells.first(row, "consumed_unit")
        consumed = self._number(self._cells.first(row, "consumed_quantity")) if consumed_unit else None
        if consumed is not None:
            size = block_size(consumed_unit) if consumed_unit[:1].isdigit() else Decimal(1)
        else:
            consumed = quantity
            size = block_size(unit) or self._number(self._cells.first(row, "block_size"))
        return None if consumed is None or size is None else EXACT.multiply(consumed, size)

    def _identify(self, row: Row) -> Identity:
        said = tuple([row[place] for place in self._said_at])
        known = self._identities.get(said)
        if known is None:
            if len(self._identities) >= REMEMBERED:
                self._identities.clear()
            known = self._identities[said] = Identity(
                recognise(self._words(row), self._catalogue),
                self._resource(row).lower(),
                self._subscription(row),
                self._billing_account(row),
            )
        return known

    def _words(self, row: Row) -> Words:
        first, everything = self._cells.first, self._cells.all
        return Words(
            first(row, "publisher_type"),
            first(row, "publisher_name"),
            first(row, "meter_category"),
            first(row, "meter_subcategory"),
            first(row, "meter_name"),
            everything(row, "product"),
            everything(row, "plan"),
            everything(row, "offer"),
            everything(row, "service"),
            self._resource(row),
            first(row, "resource_type"),
        )

    def _resource(self, row: Row) -> str:
        return self._cells.first(row, "resource_id") or self._cells.first(row, "resource_name")

    def _subscription(self, row: Row) -> str:
        said = self._cells.first(row, "subscription").lower()
        return _segment_after("subscriptions", said or self._cells.first(row, "resource_id")) or said

    def _billing_account(self, row: Row) -> str:
        said = self._cells.first(row, "billing_account")
        return _segment_after("billingaccounts", said) or said.lower()


def _segment_after(name: str, path: str) -> str:
    """Return the part of an Azure resource id that follows `name`, in lower case."""
    _, found, rest = f"/{path.lower().lstrip('/')}".partition(f"/{name}/")
    return rest.partition("/")[0] if found else ""
