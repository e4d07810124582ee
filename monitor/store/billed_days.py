"""What was billed, summed by UTC day, deployment and currency: the form in which reports of money read charges."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from monitor.domain.ledger import BilledDay
from monitor.domain.money import EXACT, NANO, REMAINDER, from_store
from monitor.store.charges import known
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
        BilledDay(day, deployment_id, currency, _amount(nano, remainder))
        for day, deployment_id, currency, nano, remainder, _ in tuples(connection.execute(asked))
    ]


def _amount(nano: int, remainder: int) -> Decimal:
    """Join sums of both parts; unlike monitor.domain.money.from_store it leaves zeros at the end, which is fast."""
    return EXACT.scaleb(Decimal(int(nano) * PARTS + int(remainder)), -REMAINDER)


def unattributed(connection: "Connection", first: int, last: int, as_of: datetime | None) -> list[Unattributed]:
    """Return the sums of the charges that fit no deployment, by currency."""
    asked = _charged((charge.c.billing_currency,), first, last, as_of).where(charged_resource.c.deployment_id.is_(None))
    return [
        Unattributed(currency, charges, from_store(int(nano), int(remainder)))
        for currency, nano, remainder, charges in connection.execute(asked.order_by(charge.c.billing_currency))
    ]


def _charged(keys: tuple[Any, ...], first: int, last: int, as_of: datetime | None) -> "sa.Select[Any]":
    sums = (sa.func.sum(charge.c.billed_cost), sa.func.sum(charge.c.billed_cost_remainder), sa.func.count())
    return (
        sa.select(*keys, *sums)
        .join_from(charge, charged_resource, charged_resource.c.id == charge.c.resource)
        .where(charge.c.charge_period_start.between(first, last), *known(charge, as_of))
        .group_by(*keys)
    )
