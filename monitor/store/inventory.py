"""Workspaces, deployments and their quotas: what the settings describe, and what records name."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa
from msgspec import Struct, json

from monitor.domain.placing import Directory, Placed
from monitor.domain.records import Place, Quota
from monitor.store.tables import deployment, quota, workspace

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

SETTINGS, RECORDS = "settings", "records"


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
        _workspace_id(connection, one.name)
        described = {
            field: getattr(one, field) for field in ("cost_center", "region", "budget_monthly", "budget_currency")
        }
        connection.execute(
            workspace.update().where(workspace.c.name == one.name).values(recorded_from=SETTINGS, **described)
        )
    connection.execute(
        deployment.update()
        .where(deployment.c.recorded_from == SETTINGS)
        .values(saas_resource=None, recorded_from=RECORDS)
    )
    connection.execute(quota.delete().where(quota.c.source == SETTINGS))
    for described_deployment in deployments:
        _describe_deployment(connection, described_deployment)


def _describe_deployment(connection: "Connection", described: DescribedDeployment) -> None:
    placed = described.placed
    number = _find(connection, placed) or _only_of_its_name(connection, placed) or _create(connection, placed)
    connection.execute(
        deployment.update()
        .where(deployment.c.id == number)
        .values(
            model=placed.model,
            region=placed.region,
            endpoint=placed.endpoint or None,
            saas_resource=described.saas_resource,
            recorded_from=SETTINGS,
        )
    )
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
    """Gives every deployment that records name its number, making rows as needed; for one collection."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._numbers: dict[tuple[Place, str], int] = {}

    def number(self, connection: "Connection", said: Place, labels: str) -> int:
        """Return the row number of the deployment of a record with these labels (a JSON object, or '')."""
        key = (said, labels)
        if key not in self._numbers:
            named = json.decode(labels, type=dict[str, str]) if labels else {}
            self._numbers[key] = deployment_number(connection, self._directory.place(said, named))
        return self._numbers[key]


def deployment_number(connection: "Connection", placed: Placed) -> int:
    """Find or make the row of a deployment.

    Refused requests do not say their model, and not every log its region: '' fits any, and is filled in when a later
    record knows.
    """
    number = _find(connection, placed)
    return number if number is not None else _create(connection, placed)


def _find(connection: "Connection", placed: Placed) -> int | None:
    rows = _rows(connection, placed)
    for row in rows:
        if _agree(row.model, placed.model) and _agree(row.region, placed.region):
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


def _agree(known: str, said: str) -> bool:
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
            workspace_id=_workspace_id(connection, placed.workspace),
            name=placed.name,
            region=placed.region,
            model=placed.model,
            created_at=0,
            endpoint=placed.endpoint or None,
            recorded_from=SETTINGS if placed.configured else RECORDS,
        )
    )
    return int(result.inserted_primary_key[0])  # type: ignore[index]


def _workspace_id(connection: "Connection", name: str) -> int:
    number = connection.scalar(sa.select(workspace.c.id).where(workspace.c.name == name))
    if number is None:
        result = connection.execute(workspace.insert().values(name=name, recorded_from=RECORDS))
        number = result.inserted_primary_key[0]  # type: ignore[index]
    return int(number)
