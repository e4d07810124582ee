"""What is deployed, as reports need it: deployments with their workspaces, and their limits."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from monitor.domain.catalogue import DEFAULT, Limits
from monitor.domain.money import from_store
from monitor.domain.quota import EffectiveLimits
from monitor.domain.records import Quota
from monitor.store.tables import deployment, quota, workspace

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

DefaultLimits = Callable[[str], Limits]
"""What a model allows unless a quota says otherwise."""


class Deployed(NamedTuple):
    """One deployment and what its workspace's owners said."""

    id: int
    workspace: str
    name: str
    model: str
    cost_center: str | None
    budget: Decimal | None
    budget_currency: str | None


def deployments(connection: "Connection", named: str | None = None) -> dict[int, Deployed]:
    """Return every deployment, or those of the workspace of that name, by its number."""
    asked = sa.select(
        deployment.c.id,
        workspace.c.name.label("workspace"),
        deployment.c.name,
        deployment.c.model,
        workspace.c.cost_center,
        workspace.c.budget_monthly,
        workspace.c.budget_currency,
    ).join_from(deployment, workspace)
    if named is not None:
        asked = asked.where(workspace.c.name == named)
    return {row[0]: Deployed(*row[:5], _budget(row[5]), row[6]) for row in connection.execute(asked)}


def _budget(stored: int | None) -> Decimal | None:
    return None if stored is None else from_store(stored)


def workspaces(connection: "Connection") -> list[str]:
    """Return the names of all workspaces."""
    return list(connection.scalars(sa.select(workspace.c.name).order_by(workspace.c.name)))


def limits(
    connection: "Connection", known: Iterable[Deployed], default: DefaultLimits = lambda _: DEFAULT
) -> dict[int, EffectiveLimits]:
    """Return the limits of deployments, from their quotas and what their models allow by default."""
    quotas: dict[int, list[Quota]] = defaultdict(list)
    for row in connection.execute(sa.select(quota)):
        quotas[row.deployment_id].append(
            Quota(
                tokens_per_minute=row.tokens_per_minute,
                requests_per_minute=row.requests_per_minute,
                effective_from=row.effective_from,
                source=row.source,
            )
        )
    return {one.id: EffectiveLimits(quotas.get(one.id, ()), default(one.model)) for one in known}
