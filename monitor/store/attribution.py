"""Who uses what a charged resource bills: the rules of monitor.domain.attribution, on what the store knows.

What nobody is known to use is unattributed, shown as such and never dropped.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct, field

from monitor.domain.attribution import UNKNOWN, Candidate, Charged, Days, Home, said
from monitor.domain.money import EXACT, plain
from monitor.store.billed import cost_sums, joined, known
from monitor.store.claims import claims
from monitor.store.tables import charge, charge_map, charged_resource, deployment

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class Unattributed(Struct, frozen=True, kw_only=True):
    """A resource that nobody is known to use, for one model ('': none is named).

    `costs` are sums per currency; days are inclusive UTC days.
    `attribution` says why it is nobody, where more is known than that nobody named it.
    """

    resource_id: str
    model: str
    attribution: str | None
    first_day: int
    last_day: int
    rows: int
    meter_names: set[str] = field(default_factory=set)
    publisher_names: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    costs: dict[str, Decimal] = field(default_factory=dict)


def attribute(connection: "Connection") -> int:
    """Say anew of every charged resource who uses it; return how many changed. Cheap, and a repeat changes nothing."""
    hand = connection.execute(sa.select(charge_map.c.resource_id, charge_map.c.model, charge_map.c.deployment_id))
    by_hand = {(row[0], row[1]): int(row[2]) for row in hand}
    named, inventory = _named_by_settings(connection), claims(connection)
    days = _charged_days(connection)
    changes = []
    for row in connection.execute(sa.select(charged_resource)).all():
        charged = Charged(resource_id=row.resource_id, model=row.model, described_as=row.described_as)
        decided = said(charged, by_hand, named)
        if decided == UNKNOWN:
            decided = inventory.decide(charged, partial(days, row.id))
        if (decided.deployment_id, decided.why) != (row.deployment_id, row.attribution):
            changes.append({"number": row.id, "who": decided.deployment_id, "why": decided.why})
    if changes:
        connection.execute(
            sa.update(charged_resource)
            .where(charged_resource.c.id == sa.bindparam("number"))
            .values(deployment_id=sa.bindparam("who"), attribution=sa.bindparam("why")),
            changes,
        )
    return len(changes)


def _charged_days(connection: "Connection") -> Callable[[int], Days | None]:
    """Return what looks up the first and last UTC day with charges of a resource; they are read once for all."""

    @cache
    def all_days() -> dict[int, Days]:
        day = charge.c.charge_period_start
        asked = sa.select(charge.c.resource, sa.func.min(day), sa.func.max(day)).where(*known(charge, None))
        return {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(asked.group_by(charge.c.resource))}

    return lambda resource: all_days().get(resource)


def map_resource(
    connection: "Connection", resource_id: str, deployment_id: int, recorded_at: datetime, model: str = ""
) -> None:
    """Say by hand who uses a resource (its whole id or its last segment), instead of what was said before.

    `model`: only what it bills for this model; '': all of it, and what was said of single models is taken back.
    """
    unmap_resource(connection, resource_id, model)
    connection.execute(
        sa.insert(charge_map).values(
            resource_id=resource_id.lower(), model=model, deployment_id=deployment_id, recorded_at=recorded_at
        )
    )


def unmap_resource(connection: "Connection", resource_id: str, model: str = "") -> bool:
    """Take back what was said by hand of a resource, of one model or of all; return whether there was anything."""
    meant = [charge_map.c.resource_id == resource_id.lower(), *([charge_map.c.model == model] if model else [])]
    return bool(connection.execute(sa.delete(charge_map).where(*meant)).rowcount)


def unattributed(
    connection: "Connection", first_day: int, last_day: int, as_of: datetime | None = None
) -> list[Unattributed]:
    """Return the resources with charges in the UTC days (both inclusive) that nobody is known to use."""
    keys = (
        charged_resource.c.resource_id,
        charged_resource.c.model,
        charged_resource.c.attribution,
        charge.c.billing_currency,
        charge.c.meter_name,
        charge.c.publisher_name,
        charge.c.model,
    )
    day = charge.c.charge_period_start
    query = (
        sa.select(
            *keys,
            sa.func.min(day),
            sa.func.max(day),
            sa.func.count(),
            *cost_sums(),
        )
        .join(charged_resource, charged_resource.c.id == charge.c.resource)
        .where(charged_resource.c.deployment_id.is_(None), day.between(first_day, last_day), *known(charge, as_of))
        .group_by(*keys)
    )
    groups: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in connection.execute(query):
        groups[row[0], row[1]].append(row)
    return [_joined(groups[key]) for key in sorted(groups)]


def _joined(rows: list[Any]) -> Unattributed:
    costs: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        costs[row[3]] = EXACT.add(costs[row[3]], joined(*row[10:]))
    return Unattributed(
        resource_id=rows[0][0],
        model=rows[0][1],
        attribution=rows[0][2],
        first_day=min(row[7] for row in rows),
        last_day=max(row[8] for row in rows),
        rows=sum(row[9] for row in rows),
        meter_names={row[4] for row in rows if row[4]},
        publisher_names={row[5] for row in rows if row[5]},
        models={row[6] for row in rows if row[6]},
        costs={currency: plain(costs[currency]) for currency in sorted(costs)},
    )


def _named_by_settings(connection: "Connection") -> dict[str, Sequence[Candidate]]:
    named: dict[str, list[Candidate]] = defaultdict(list)
    columns = (deployment.c.saas_resource, deployment.c.id, deployment.c.name, deployment.c.model)
    query = sa.select(*columns).where(deployment.c.saas_resource.is_not(None))
    for resource, number, name, model in connection.execute(query):
        if resource.strip():
            one = Candidate(number=number, name=name, model=model, home=Home(resource_id="", name=""))
            named[resource.strip().lower()].append(one)
    return dict(named)
