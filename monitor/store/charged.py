"""Charges one by one, as finance needs them, and finding what they bill by the names people use."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from monitor.errors import SettingsError, UnknownNameError
from monitor.store.billed import known
from monitor.store.tables import charge, charged_resource, deployment, workspace

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def charged_like(connection: "Connection", name: str) -> str:
    """Return the id of the charged resource meant by its whole id or its last segment; MonitorError if not one is."""
    names: list[str] = list(connection.scalars(sa.select(charged_resource.c.resource_id).distinct()))
    asked = name.strip().lower()
    meant = [one for one in names if asked in (one.lower(), one.lower().rpartition("/")[2])]
    if not meant:
        raise UnknownNameError("charges map", "charged resource", name, [one.rpartition("/")[2] for one in names])
    if len(meant) > 1:
        raise SettingsError("charges map", f"{name!r} is the name of {len(meant)} resources", "give the whole id")
    return meant[0]


def models_charged(connection: "Connection", resource_id: str) -> list[str]:
    """Return the models that a resource is billed for, '' where its charges name none."""
    asked = sa.select(charged_resource.c.model).where(charged_resource.c.resource_id == resource_id)
    return list(connection.scalars(asked.order_by(charged_resource.c.model)))


def deployment_named(connection: "Connection", workspace_name: str, name: str) -> int:
    """Return the number of a deployment, the latest to bear the name; UnknownNameError if there is none."""
    rows = connection.execute(
        sa.select(workspace.c.name, deployment.c.name, sa.func.max(deployment.c.id))
        .join_from(deployment, workspace)
        .group_by(workspace.c.name, deployment.c.name)
    )
    numbers = {(row[0], row[1]): int(row[2]) for row in rows}
    if not any(of == workspace_name for of, _ in numbers):
        raise UnknownNameError("charges map", "workspace", workspace_name, sorted({of for of, _ in numbers}))
    if (workspace_name, name) not in numbers:
        own = sorted(one for of, one in numbers if of == workspace_name)
        raise UnknownNameError("charges map", "deployment", name, own)
    return numbers[workspace_name, name]


def charges_of(connection: "Connection", first_day: int, last_day: int, as_of: datetime | None = None) -> Iterator[Any]:
    """Yield the row of every charge of the UTC days (both inclusive) and whose it is, in a fixed order."""
    query = (
        sa.select(
            *(column for column in charge.c if column.name not in {"id", "pull_id", "resource", "superseded_at"}),
            charged_resource.c.resource_id,
            charged_resource.c.attribution,
            deployment.c.name.label("deployment"),
            workspace.c.name.label("workspace"),
        )
        .join(charged_resource, charged_resource.c.id == charge.c.resource)
        .outerjoin(deployment, deployment.c.id == charged_resource.c.deployment_id)
        .outerjoin(workspace, workspace.c.id == deployment.c.workspace_id)
        .where(charge.c.charge_period_start.between(first_day, last_day), *known(charge, as_of))
        .order_by(charge.c.charge_period_start, charged_resource.c.resource_id, charge.c.meter, charge.c.id)
    )
    yield from connection.execution_options(yield_per=10_000).execute(query)
