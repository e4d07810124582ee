"""What was billed, as it is known now or was known at an instant; sums are exact on every engine."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct

from monitor.domain.money import NANO, from_store, quantity_of
from monitor.store.tables import charge, charged_resource

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

WHOLE = 10**NANO


class Billed(Struct, frozen=True, kw_only=True):
    """The sum of the charges of one UTC day, resource, meter, model and currency.

    `consumed_quantity` is in single units (tokens, hours), over the charges whose unit is known, None if it is of none;
    `rows_without_quantity` of the `rows` charges have no known one. `deployment_id` None: unattributed.
    """

    day: int
    deployment_id: int | None
    resource_id: str
    meter: str
    model: str | None
    currency: str
    billed_cost: Decimal
    consumed_quantity: Decimal | None
    rows: int
    rows_without_quantity: int
    recorded_at: datetime


def billed(connection: "Connection", first_day: int, last_day: int, as_of: datetime | None = None) -> list[Billed]:
    """Return what was billed for the UTC days (both inclusive), as known now or at an instant."""
    keys = (
        charge.c.charge_period_start,
        charged_resource.c.deployment_id,
        charged_resource.c.resource_id,
        charge.c.meter,
        charge.c.model,
        charge.c.billing_currency,
    )
    query = (
        sa.select(
            *keys,
            *cost_sums(),
            sa.func.sum(charge.c.consumed_quantity),
            sa.func.count(),
            sa.func.count(charge.c.consumed_quantity),
            sa.func.max(charge.c.recorded_at),
        )
        .join(charged_resource, charged_resource.c.id == charge.c.resource)
        .where(charge.c.charge_period_start.between(first_day, last_day), *known(charge, as_of))
        .group_by(*keys)
        .order_by(charge.c.charge_period_start, charged_resource.c.resource_id, charge.c.meter)
    )
    return [_billed(row) for row in connection.execute(query)]


def known(table: sa.Table, as_of: datetime | None) -> list[sa.ColumnElement[bool]]:
    """Return the conditions under which a row of `charge` or `cost_day` counts, now or at an instant."""
    if as_of is None:
        return [table.c.superseded_at.is_(None)]
    return [
        table.c.recorded_at <= as_of,
        sa.or_(table.c.superseded_at.is_(None), table.c.superseded_at > as_of),
    ]


def cost_sums() -> tuple[sa.ColumnElement[Any], ...]:
    """Sum billed costs, apart in whole units, what is left in 1e-9, and in 1e-20 units; `joined` puts them together.

    SQLite adds in 64 bits and fails beyond them: one sum of 1e-9 units would end at 9.2 billion of a currency, which a
    month in dong or rupiah passes.
    """
    cost = charge.c.billed_cost
    return sa.func.sum(cost // WHOLE), sa.func.sum(cost % WHOLE), sa.func.sum(charge.c.billed_cost_remainder)


def joined(whole: int, nano: int, remainder: int) -> Decimal:
    """Return the amount of `cost_sums`."""
    return from_store(int(whole) * WHOLE + int(nano), int(remainder))


def _billed(row: Any) -> Billed:
    day, deployment_id, resource_id, meter, model, currency, *costs, quantity, rows, measured, recorded_at = row
    return Billed(
        day=day,
        deployment_id=deployment_id,
        resource_id=resource_id,
        meter=meter,
        model=model,
        currency=currency,
        billed_cost=joined(*costs),
        consumed_quantity=quantity_of(quantity),
        rows=rows,
        rows_without_quantity=rows - measured,
        recorded_at=recorded_at,
    )
