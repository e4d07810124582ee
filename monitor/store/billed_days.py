"""What was billed, summed by UTC day, deployment and currency: the form in which reports of money read charges."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from monitor.domain.ledger import BilledDay
from monitor.domain.money import EXACT, NANO, REMAINDER, quantity_of
from monitor.store.billed import WHOLE, cost_sums, joined, known
from monitor.store.rollups import tuples
from monitor.store.tables import charge, charged_resource

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


PARTS = 10 ** (REMAINDER - NANO)


class Unattributed(NamedTuple):
    """How many charges fit no deployment, and what they sum to, in one currency."""

    currency: str
    charges: int
    cost: Decimal


def billed_days(connection: "Connection", first: int, last: int, as_of: datetime | None) -> list[BilledDay]:
    """Return what was billed for deployments on the UTC days (both inclusive), as known now or at an instant."""
    keys = (charge.c.charge_period_start, charged_resource.c.deployment_id, charge.c.billing_currency)
    asked = _charged(keys, first, last, as_of).where(charged_resource.c.deployment_id.is_not(None))
    return [
        BilledDay(day, deployment_id, currency, _amount(int(whole) * WHOLE + int(nano), remainder))
        for day, deployment_id, currency, whole, nano, remainder, _ in tuples(connection.execute(asked))
    ]


def _amount(nano: int, remainder: int) -> Decimal:
    """Join sums of both parts; unlike monitor.domain.money.from_store it leaves zeros at the end, which is fast."""
    return EXACT.scaleb(Decimal(int(nano) * PARTS + int(remainder)), -REMAINDER)


def unattributed(connection: "Connection", first: int, last: int, as_of: datetime | None) -> list[Unattributed]:
    """Return the sums of the charges that fit no deployment, by currency."""
    asked = _charged((charge.c.billing_currency,), first, last, as_of).where(charged_resource.c.deployment_id.is_(None))
    return [
        Unattributed(currency, charges, joined(*costs))
        for currency, *costs, charges in connection.execute(asked.order_by(charge.c.billing_currency))
    ]


class UnattributedDay(NamedTuple):
    """What a resource of nobody's was billed for one meter on a UTC day; the quantity in single units, if known.

    `why` it is nobody's, where more is known than that nobody named it.
    """

    day: int
    resource_id: str
    model: str | None
    meter: str
    currency: str
    cost: Decimal
    charges: int
    quantity: Decimal | None
    why: str | None


def unattributed_days(connection: "Connection", first: int, last: int, as_of: datetime | None) -> list[UnattributedDay]:
    """Return the charges that fit no deployment, by UTC day, resource, meter, model and currency."""
    by_resource = (charge.c.charge_period_start, charged_resource.c.resource_id)
    keys = (*by_resource, charge.c.model, charge.c.meter, charge.c.billing_currency, charged_resource.c.attribution)
    asked = (
        _charged(keys, first, last, as_of)
        .add_columns(_QUANTITY)
        .where(charged_resource.c.deployment_id.is_(None))
        .order_by(*keys)
    )
    return [
        UnattributedDay(
            day=day,
            resource_id=resource_id,
            model=model,
            meter=meter,
            currency=currency,
            cost=joined(*costs),
            charges=charges,
            quantity=quantity_of(quantity),
            why=why,
        )
        for day, resource_id, model, meter, currency, why, *costs, charges, quantity in connection.execute(asked)
    ]


_QUANTITY = sa.case(
    (sa.func.count() == sa.func.count(charge.c.consumed_quantity), sa.func.sum(charge.c.consumed_quantity))
)
"""The sum of quantities, null where that of any charge is not known."""


def _charged(keys: tuple[Any, ...], first: int, last: int, as_of: datetime | None) -> "sa.Select[Any]":
    return (
        sa.select(*keys, *cost_sums(), sa.func.count())
        .join_from(charge, charged_resource, charged_resource.c.id == charge.c.resource)
        .where(charge.c.charge_period_start.between(first, last), *known(charge, as_of))
        .group_by(*keys)
    )
