"""Workspaces, deployments and their quotas: what the settings describe, and what records name.

What Azure itself says of them is in monitor.store.found.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa
from msgspec import Struct, json

from monitor.domain.endpoints import endpoint
from monitor.domain.placing import Directory, Placed
from monitor.domain.records import Place, Quota
from monitor.store.tables import azure_resource, deployment, quota, workspace

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

SETTINGS, RECORDS, INVENTORY = "settings", "records", "inventory"


class DescribedWorkspace(Struct, frozen=True, kw_only=True):
    """A workspace as the settings describe it; the budget in 1e-9 units of its currency."""

    name: str
    cost_center: str | None = None
    region: str | None = None
    budget_monthly: int | None = None
    budget_currency: str | None = None


class DescribedDeployment(Struct, frozen=True, kw_only=True):
    """A deployment as the settings describe it, with its quotas in the order of their days."""

    placed: Placed
    saas_resource: str | None = None
    quotas: tuple[Quota, ...] = ()


def describe(
    connection: "Connection", workspaces: Iterable[DescribedWorkspace], deployments: Iterable[DescribedDeployment]
) -> None:
    """Make the store agree with the settings; what records alone have named stays as it is."""
    connection.execute(workspace.update().values(cost_center=None, budget_monthly=None, budget_currency=None))
    for one in workspaces:
        workspace_number(connection, one.name)
        described = {field: getattr(one, field) for field in ("cost_center", "budget_monthly", "budget_currency")}
        if one.region:
            described["region"] = one.region
        connection.execute(
            workspace.update().where(workspace.c.name == one.name).values(recorded_from=SETTINGS, **described)
        )
    connection.execute(
        deployment.update()
        .where(deployment.c.recorded_from == SETTINGS)
        .values(
            saas_resource=None,
            recorded_from=RECORDS,
            # An endpoint that inventory knows too stays: by it the settings may give the deployment another name.
            endpoint=sa.case((deployment.c.resource_id.is_not(None), deployment.c.endpoint)),
        )
    )
    connection.execute(quota.delete().where(quota.c.source == SETTINGS))
    for described_deployment in deployments:
        _describe_deployment(connection, described_deployment)


def _describe_deployment(connection: "Connection", described: DescribedDeployment) -> None:
    placed = described.placed
    number = (
        _find(connection, placed)
        or _only_of_its_name(connection, placed)
        or _renamed(connection, placed)
        or _create(connection, placed)
    )
    # What the settings leave out inventory may have found: it is not forgotten.
    said = {"region": placed.region, "endpoint": placed.endpoint, "saas_resource": described.saas_resource}
    connection.execute(
        deployment.update()
        .where(deployment.c.id == number)
        .values(model=placed.model, recorded_from=SETTINGS, **{name: value for name, value in said.items() if value})
    )
    if described.quotas:
        connection.execute(quota.delete().where(quota.c.deployment_id == number))
    for one in described.quotas:
        connection.execute(
            quota.insert().values(
                deployment_id=number,
                effective_from=one.effective_from,
                tokens_per_minute=one.tokens_per_minute,
                requests_per_minute=one.requests_per_minute,
                source=SETTINGS,
            )
        )


class Registry:
    """Gives every deployment that records name its number, making rows as needed; for one collection.

    What inventory has found is looked up with the first record.
    """

    def __init__(self, configured: Iterable[Placed], canonical: Callable[[str], str]) -> None:
        self._configured, self._canonical = list(configured), canonical
        self._directory: Directory | None = None
        self._numbers: dict[tuple[Place, str], int] = {}

    def number(self, connection: "Connection", said: Place, labels: str) -> int:
        """Return the row number of the deployment of a record with these labels (a JSON object, or '')."""
        key = (said, labels)
        if key not in self._numbers:
            if self._directory is None:
                self._directory = Directory(self._configured, self._canonical, found(connection))
            named = json.decode(labels, type=dict[str, str]) if labels else {}
            self._numbers[key] = deployment_number(connection, self._directory.place(said, named))
        return self._numbers[key]


def deployment_number(connection: "Connection", placed: Placed) -> int:
    """Find or make the row of a deployment.

    Refused requests do not say their model, and not every log its region: '' fits any, and is filled in when a later
    record knows.
    """
    number = placed.number or _find(connection, placed)
    return number if number is not None else _create(connection, placed)


def found(connection: "Connection") -> list[Placed]:
    """Return the deployments that inventory knows; of those of one name the one that is there comes last."""
    here = (
        sa.exists()
        .where(azure_resource.c.resource_id == deployment.c.resource_id, azure_resource.c.superseded_at.is_(None))
        .correlate(deployment)
    )
    asked = (
        sa.select(deployment, workspace.c.name.label("workspace"))
        .join(workspace)
        .where(deployment.c.resource_id.is_not(None))
        .order_by(sa.case((here, 1), else_=0), deployment.c.created_at, deployment.c.id)
    )
    return [
        Placed(
            workspace=row.workspace,
            name=row.name,
            region=row.region,
            model=row.model,
            endpoint=row.endpoint or "",
            number=row.id,
        )
        for row in connection.execute(asked)
    ]


def _renamed(connection: "Connection", placed: Placed) -> int | None:
    """Give the deployment that inventory found at an endpoint the names that the settings have for it."""
    address = endpoint(placed.endpoint)
    if not placed.endpoint or address.account:
        return None
    at_home = sa.select(deployment.c.id).where(
        deployment.c.resource_id.is_not(None),
        deployment.c.recorded_from != SETTINGS,
        deployment.c.endpoint == address.host,
        deployment.c.model.in_([placed.model, ""]),
    )
    numbers = list(connection.scalars(at_home))
    if len(numbers) != 1:
        return None
    names = {"workspace_id": workspace_number(connection, placed.workspace), "name": placed.name}
    connection.execute(deployment.update().where(deployment.c.id == numbers[0]).values(**names))
    return int(numbers[0])


def _find(connection: "Connection", placed: Placed) -> int | None:
    rows = _rows(connection, placed)
    for row in rows:
        if agree(row.model, placed.model) and agree(row.region, placed.region):
            _fill_in(connection, row, placed)
            return int(row.id)
    return None


def _rows(connection: "Connection", placed: Placed) -> "list[sa.Row[tuple[int, str, str]]]":
    """The deployments of that name, those that say most first."""
    exact = sa.case((deployment.c.model == placed.model, 0), else_=1) + sa.case(
        (deployment.c.region == placed.region, 0), else_=1
    )
    return list(
        connection.execute(
            sa.select(deployment.c.id, deployment.c.model, deployment.c.region)
            .join(workspace)
            .where(workspace.c.name == placed.workspace, deployment.c.name == placed.name)
            .order_by(exact, deployment.c.id)
        )
    )


def agree(known: str, said: str) -> bool:
    """Whether two may name the same; '' is not known, and fits any."""
    return known == said or not known or not said


def _fill_in(connection: "Connection", row: "sa.Row[tuple[int, str, str]]", placed: Placed) -> None:
    model, region = row.model or placed.model, row.region or placed.region
    if (model, region) != (row.model, row.region):
        connection.execute(deployment.update().where(deployment.c.id == row.id).values(model=model, region=region))


def _only_of_its_name(connection: "Connection", placed: Placed) -> int | None:
    rows = _rows(connection, placed)
    return int(rows[0].id) if len(rows) == 1 else None


def _create(connection: "Connection", placed: Placed) -> int:
    result = connection.execute(
        deployment.insert().values(
            workspace_id=workspace_number(connection, placed.workspace),
            name=placed.name,
            region=placed.region,
            model=placed.model,
            created_at=0,
            endpoint=placed.endpoint or None,
            recorded_from=SETTINGS if placed.configured else RECORDS,
        )
    )
    return int(result.inserted_primary_key[0])  # type: ignore[index]


def workspace_number(connection: "Connection", name: str, recorded_from: str = RECORDS) -> int:
    """Find or make the row of a workspace."""
    number = connection.scalar(sa.select(workspace.c.id).where(workspace.c.name == name))
    if number is None:
        result = connection.execute(workspace.insert().values(name=name, recorded_from=recorded_from))
        number = result.inserted_primary_key[0]  # type: ignore[index]
    return int(number)
