"""Who uses what a charged resource bills.

1 What an operator said by hand; 2 the deployment whose `saas_resource` in the settings is the resource's whole id or
its last segment, whatever the case; 3 nobody: the charges are unattributed, shown as such and never dropped. Two
deployments that name one resource cannot be told apart: nobody is guessed, and the attribution says so.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct, field

from monitor.domain.money import EXACT, plain
from monitor.store.charges import cost_sums, joined, known
from monitor.store.tables import charge, charge_map, charged_resource, deployment

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

BY_HAND, BY_SETTINGS, DISPUTED = "mapped by hand", "saas_resource", "named by several deployments"

Attribution = tuple[int | None, str | None]


class Unattributed(Struct, frozen=True, kw_only=True):
    """A resource that nobody is known to use. `costs` are sums per currency; days are inclusive UTC days.

    `attribution` says why there is nobody where more is known than that nobody named it.
    """

    resource_id: str
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
    by_hand = {
        row[0]: {row[1]} for row in connection.execute(sa.select(charge_map.c.resource_id, charge_map.c.deployment_id))
    }
    named = _named_by_settings(connection)
    changes = []
    for row in connection.execute(sa.select(charged_resource)).all():
        decided = decide(row.resource_id, by_hand, named)
        if decided != (row.deployment_id, row.attribution):
            changes.append({"number": row.id, "who": decided[0], "why": decided[1]})
    if changes:
        connection.execute(
            sa.update(charged_resource)
            .where(charged_resource.c.id == sa.bindparam("number"))
            .values(deployment_id=sa.bindparam("who"), attribution=sa.bindparam("why")),
            changes,
        )
    return len(changes)


def decide(resource_id: str, by_hand: Mapping[str, set[int]], by_settings: Mapping[str, set[int]]) -> Attribution:
    """Return the deployment that uses a resource and why we believe so; both maps are keyed by lower-case ids."""
    for said, why in ((by_hand, BY_HAND), (by_settings, BY_SETTINGS)):
        for name in (resource_id.lower(), resource_id.lower().rpartition("/")[2]):
            if len(said.get(name, ())) > 1:
                return None, DISPUTED
            if name in said:
                return next(iter(said[name])), why
    return None, None


def map_resource(connection: "Connection", resource_id: str, deployment_id: int, recorded_at: datetime) -> None:
    """Say by hand who uses a resource (its whole id or its last segment), instead of what was said before."""
    unmap_resource(connection, resource_id)
    connection.execute(
        sa.insert(charge_map).values(
            resource_id=resource_id.lower(), deployment_id=deployment_id, recorded_at=recorded_at
        )
    )


def unmap_resource(connection: "Connection", resource_id: str) -> bool:
    """Take back what was said by hand of a resource; return whether there was anything."""
    return bool(
        connection.execute(sa.delete(charge_map).where(charge_map.c.resource_id == resource_id.lower())).rowcount
    )


def unattributed(
    connection: "Connection", first_day: int, last_day: int, as_of: datetime | None = None
) -> list[Unattributed]:
    """Return the resources with charges in the UTC days (both inclusive) that nobody is known to use."""
    keys = (
        charged_resource.c.resource_id,
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
    groups: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(query):
        groups[row[0]].append(row)
    return [_joined(resource_id, groups[resource_id]) for resource_id in sorted(groups)]


def _joined(resource_id: str, rows: list[Any]) -> Unattributed:
    costs: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        costs[row[2]] = EXACT.add(costs[row[2]], joined(*row[9:]))
    return Unattributed(
        resource_id=resource_id,
        attribution=rows[0][1],
        first_day=min(row[6] for row in rows),
        last_day=max(row[7] for row in rows),
        rows=sum(row[8] for row in rows),
        meter_names={row[3] for row in rows if row[3]},
        publisher_names={row[4] for row in rows if row[4]},
        models={row[5] for row in rows if row[5]},
        costs={currency: plain(costs[currency]) for currency in sorted(costs)},
    )


def _named_by_settings(connection: "Connection") -> dict[str, set[int]]:
    named: dict[str, set[int]] = defaultdict(set)
    query = sa.select(deployment.c.saas_resource, deployment.c.id).where(deployment.c.saas_resource.is_not(None))
    for resource, number in connection.execute(query):
        if resource.strip():
            named[resource.strip().lower()].add(number)
    return named
