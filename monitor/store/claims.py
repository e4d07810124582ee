"""What inventory knows of who may be billed, as monitor.domain.attribution asks for it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from monitor.domain.attribution import Candidate, Claims, Home, Plan
from monitor.domain.inventory import DEPLOYED, Kind, Resource, State, home_names, same_model, subscription_drawn_on
from monitor.domain.period import day_number
from monitor.store.resources import listed, states
from monitor.store.tables import deployment, deployment_resource

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

MARK = 15
"""So many characters of its own id an account puts into the names of what is bought for it (azure.md, 1.1)."""


def claims(connection: "Connection") -> Claims:
    """Return the deployments and plans that there are and were."""
    known = states(connection)
    if not known:
        return Claims([], [])
    homes = _homes(known)
    offers = _histories(one for one in known if one.resource.kind is Kind.SUBSCRIPTION)
    last = [history[-1].resource for history in offers.values()]
    plans = [
        Plan(
            resource_id=state.resource.resource_id,
            home=homes[state.resource.parent],
            offer=state.resource.offer,
            plan=state.resource.plan,
            last=_day(history[-1].seen_until),
        )
        for history in offers.values()
        for state in {(one.resource.plan, one.resource.offer): one for one in history}.values()
        if state.resource.parent in homes
    ]
    unseen = homes.keys() - listed(connection)
    return Claims(_candidates(connection, known, homes, last), plans, [homes[number] for number in sorted(unseen)])


def _homes(known: Sequence[State]) -> dict[str, Home]:
    names = home_names(known)
    return {
        one.resource.resource_id: Home(
            resource_id=one.resource.resource_id,
            name=names.get(one.resource.resource_id, one.resource.name),
            mark=one.resource.mark[:MARK],
        )
        for one in known
        if one.resource.kind in (Kind.WORKSPACE, Kind.ACCOUNT)
    }


def _candidates(
    connection: "Connection", known: Sequence[State], homes: dict[str, Home], offers: Sequence[Resource]
) -> list[Candidate]:
    query = sa.select(deployment_resource, deployment.c.name, deployment.c.model.label("canonical")).join(
        deployment, deployment.c.id == deployment_resource.c.deployment_id
    )
    rows = {(row.resource_id, row.model): row for row in connection.execute(query)}
    lives: dict[tuple[str, str], list[State]] = defaultdict(list)
    for one in known:
        if one.resource.kind in DEPLOYED and one.resource.parent in homes:
            lives[one.resource.resource_id, one.resource.model].append(one)
    found = []
    for key, history in lives.items():
        row, resource = rows.get(key), history[-1].resource
        if row is not None:
            found.append(
                Candidate(
                    number=row.deployment_id,
                    name=row.name,
                    model=row.canonical,
                    home=homes[resource.parent],
                    subscriptions=_drawn_on(history, offers),
                    # An endpoint made again is the same deployment: it lived when the first of them did.
                    first=_created(history[0].resource),
                    last=_day(history[-1].seen_until),
                )
            )
    return found


def _drawn_on(history: Sequence[State], offers: Sequence[Resource]) -> frozenset[str]:
    """Return the marketplace subscriptions that an endpoint drew on; where it does not say, those of its model."""
    resource = history[-1].resource
    named = [subscription_drawn_on(one.resource, offers) for one in history if one.resource.subscription]
    drawn = {one.resource_id for one in named if one is not None}
    own = {
        one.resource_id
        for one in offers
        if one.parent == resource.parent and one.model and same_model(one.model, resource.model)
    }
    return frozenset(drawn or own)


def _histories(known: Iterable[State]) -> dict[str, list[State]]:
    histories: dict[str, list[State]] = defaultdict(list)
    for one in known:
        histories[one.resource.resource_id].append(one)
    return histories


def _created(resource: Resource) -> int | None:
    return resource.created_at // 86_400 if resource.created_at else None


def _day(instant: datetime | None) -> int | None:
    return None if instant is None else day_number(instant.date())
