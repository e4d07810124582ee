"""What inventory found, as workspaces, deployments and quotas: it meets the rows that settings and records have made.

A deployment that Azure has, or had, is the row: 1 that the settings describe at its endpoint or by its name; 2 that it
was before; 3 that records alone have made at its endpoint, if it is one; 4 of its workspace, name, region and model; 5
a new one. An endpoint that was deleted and made again with its name, region and model goes on as the same deployment,
for its charges do; with another model it is another. Nothing is ever removed: what has disappeared bills for a while.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct

from monitor.domain.catalogue import Limits
from monitor.domain.endpoints import endpoint
from monitor.domain.inventory import DEPLOYED, Resource, State, home_names
from monitor.domain.period import day_number
from monitor.domain.records import Quota
from monitor.store.inventory import INVENTORY, RECORDS, SETTINGS, agree, workspace_number
from monitor.store.resources import states
from monitor.store.tables import deployment, deployment_resource, quota, workspace

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Canonical = Callable[[str], str]
"""Turns what Azure calls a model into what it is called here."""


class Row(Struct, kw_only=True):
    """A row of `deployment` with the name of its workspace."""

    id: int
    workspace: str
    name: str
    region: str
    model: str
    created_at: int
    endpoint: str | None
    resource_id: str | None
    recorded_from: str


class Life(Struct, frozen=True, kw_only=True):
    """A deployment of Azure's with one model, as it last was. `only`: its name never served another model."""

    resource: Resource
    home: str
    model: str
    only: bool
    states: Sequence[State]

    @property
    def keys(self) -> list[tuple[str, str]]:
        """The resource with each name that Azure has given the model."""
        return [(self.resource.resource_id, name) for name in sorted({one.resource.model for one in self.states})]

    @property
    def latest(self) -> tuple[bool, datetime]:
        """What is greatest for what is there, or was there last."""
        last = self.states[-1]
        return last.seen_until is None, last.seen_until or last.seen_from


def linked(connection: "Connection") -> dict[tuple[str, str], int]:
    """Return the number of the deployment that each resource is, by its id and what Azure calls its model."""
    rows = connection.execute(sa.select(deployment_resource))
    return {(row.resource_id, row.model): int(row.deployment_id) for row in rows}


def settle_inventory(connection: "Connection", canonical: Canonical, limits: Callable[[str], Limits]) -> None:
    """Bring workspaces, deployments and their quotas in line with what inventory knows; a repeat changes nothing."""
    known = states(connection)
    if not known:
        return
    names = _as_written(connection, home_names(known))
    rows = _rows(connection)
    lived: dict[int, list[Life]] = defaultdict(list)
    links = _Links(connection)
    for life in _lives(known, names, canonical):
        row = _matching(rows, life, links) or _made(connection, rows, life)
        links.set(life, row.id)
        lived[row.id].append(life)
    for row in [row for row in rows if row.id in lived]:
        _fill_in(connection, rows, row, max(lived[row.id], key=lambda life: life.latest))
        seen = [state for life in lived[row.id] for state in life.states]
        _set_quotas(connection, row.id, _quotas(seen, limits(row.model)))
    _describe_homes(connection, known, names)


class _Links:
    """Which row each resource is with each of its models (`deployment_resource`)."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._numbers = linked(connection)

    def of(self, life: Life) -> int | None:
        """Return the row that a life was linked to."""
        return next((self._numbers[key] for key in life.keys if key in self._numbers), None)

    @property
    def rows(self) -> set[int]:
        """All rows that are linked to anything."""
        return set(self._numbers.values())

    def set(self, life: Life, number: int) -> None:
        """Link a life to a row."""
        for key in life.keys:
            if self._numbers.get(key) != number:
                self._numbers[key] = number
                here = (deployment_resource.c.resource_id == key[0], deployment_resource.c.model == key[1])
                self._connection.execute(sa.delete(deployment_resource).where(*here))
                values = {"resource_id": key[0], "model": key[1], "deployment_id": number}
                self._connection.execute(sa.insert(deployment_resource).values(**values))


def _as_written(connection: "Connection", names: dict[str, str]) -> dict[str, str]:
    """Return names of homes as workspaces here are written: logs and metrics have lower-case ones from hosts."""
    written = {name.lower(): name for name in connection.scalars(sa.select(workspace.c.name))}
    return {home: written.get(name.lower(), name) for home, name in names.items()}


def _describe_homes(connection: "Connection", known: Sequence[State], names: dict[str, str]) -> None:
    regions = {one.resource.resource_id: one.resource.region for one in known}
    for home, name in names.items():
        if regions.get(home):
            here = sa.and_(workspace.c.name == name, workspace.c.region.is_(None))
            connection.execute(sa.update(workspace).where(here).values(region=regions[home]))


def _lives(known: Sequence[State], names: dict[str, str], canonical: Canonical) -> list[Life]:
    """Return the deployments of which there were states, those seen first before the others."""
    lives = []
    deployed = [one for one in known if one.resource.kind in DEPLOYED]
    for _, group in groupby(deployed, key=lambda one: one.resource.resource_id):
        by_model: dict[str, list[State]] = defaultdict(list)
        for one in group:
            by_model[canonical(one.resource.model)].append(one)
        for model, seen in by_model.items():
            resource = seen[-1].resource
            lives.append(
                Life(
                    resource=resource,
                    home=names[resource.parent],
                    model=model,
                    only=len(by_model) == 1,
                    states=seen,
                )
            )
    return sorted(lives, key=lambda life: (life.states[0].seen_from, life.resource.resource_id))


def _rows(connection: "Connection") -> list[Row]:
    columns = [deployment.c[name] for name in Row.__struct_fields__ if name != "workspace"]
    asked = sa.select(*columns, workspace.c.name.label("workspace")).join(workspace).order_by(deployment.c.id)
    return [Row(**row._mapping) for row in connection.execute(asked)]  # noqa: SLF001 - SQLAlchemy's public accessor


def _matching(rows: Iterable[Row], life: Life, links: "_Links") -> Row | None:
    """Return the row that a deployment of Azure's is, in the steps above."""
    described = [row for row in rows if row.recorded_from == SETTINGS and _is_at(row, life, by_name=True)]
    agreeing = [row for row in described if _agrees(row, life)]
    # Settings that name another model than Azure does are believed, unless the name has served several.
    if agreeing or (described and life.only):
        return (agreeing or described)[0]
    others = [row for row in rows if row.recorded_from != SETTINGS and _agrees(row, life)]
    before, linked_rows = links.of(life), links.rows
    own = [row for row in others if row.id == before]
    if own:
        return own[0]
    logged = [row for row in others if row.id not in linked_rows and _is_at(row, life)]
    if len(logged) == 1:
        return logged[0]
    named = [row for row in others if _bears_name(row, life)]
    return min(named, key=lambda row: (row.model == "", row.region == "", row.id), default=None)


def _is_at(row: Row, life: Life, *, by_name: bool = False) -> bool:
    """Whether a row is of the life's address; an account's address is that of its deployments of the same name."""
    if by_name and _bears_name(row, life) and agree(row.region, life.resource.region):
        return True
    if not row.endpoint or not life.resource.endpoint:
        return False
    one, other = endpoint(row.endpoint), endpoint(life.resource.endpoint)
    if one.account or other.account:
        return one.account == other.account and row.name.lower() == life.resource.name.lower()
    return one.host == other.host


def _bears_name(row: Row, life: Life) -> bool:
    return (row.workspace.lower(), row.name.lower()) == (life.home.lower(), life.resource.name.lower())


def _agrees(row: Row, life: Life) -> bool:
    return agree(row.model, life.model) and agree(row.region, life.resource.region)


def _made(connection: "Connection", rows: list[Row], life: Life) -> Row:
    values = {
        "name": life.resource.name,
        "region": life.resource.region,
        "model": life.model,
        "created_at": life.resource.created_at,
        "endpoint": life.resource.endpoint or None,
        "resource_id": life.resource.resource_id,
        "recorded_from": INVENTORY,
    }
    home = workspace_number(connection, life.home, INVENTORY)
    made = connection.execute(sa.insert(deployment).values(workspace_id=home, **values))
    number = int(made.inserted_primary_key[0])  # type: ignore[index]
    row = Row(id=number, workspace=life.home, **values)  # type: ignore[arg-type]
    rows.append(row)
    return row


def _fill_in(connection: "Connection", rows: Iterable[Row], row: Row, life: Life) -> None:
    """Write what Azure says of a deployment into its row; what the settings say stays."""
    resource = life.resource
    changes: dict[str, Any] = {"resource_id": resource.resource_id}
    if row.recorded_from == RECORDS:
        changes["recorded_from"] = INVENTORY
        if not row.workspace:
            changes["workspace"] = life.home
    if resource.endpoint and (row.recorded_from != SETTINGS or not row.endpoint):
        changes["endpoint"] = resource.endpoint
    changes["region"], changes["model"] = row.region or resource.region, row.model or life.model
    changes["created_at"] = row.created_at or resource.created_at
    changes = {name: value for name, value in changes.items() if getattr(row, name) != value}
    if changes.keys() & {"workspace", "region", "model", "created_at"} and _taken(rows, row, changes):
        changes = {name: changes[name] for name in changes.keys() & {"resource_id", "endpoint", "recorded_from"}}
    for name, value in changes.items():
        setattr(row, name, value)
    if "workspace" in changes:
        changes["workspace_id"] = workspace_number(connection, changes.pop("workspace"), INVENTORY)
    if changes:
        connection.execute(sa.update(deployment).where(deployment.c.id == row.id).values(**changes))


def _taken(rows: Iterable[Row], row: Row, changes: dict[str, Any]) -> bool:
    """Whether another row is already what this one would become."""
    key = ("workspace", "name", "region", "model", "created_at")
    wanted = tuple(changes.get(name, getattr(row, name)) for name in key)
    return any(tuple(getattr(one, name) for name in key) == wanted for one in rows if one is not row)


def _quotas(seen: Iterable[State], default: Limits) -> list[Quota]:
    """Return the limits that were seen, each from the UTC day on which it was seen first."""
    by_day: dict[int, Limits] = {}
    for one in sorted(seen, key=lambda one: one.seen_from):
        tokens, requests = one.resource.tokens_per_minute, one.resource.requests_per_minute
        if tokens is not None or requests is not None:
            by_day[day_number(one.seen_from.date())] = Limits(tokens or default.tokens, requests or default.requests)
    changes: list[Quota] = []
    last = None
    for day, limit in sorted(by_day.items()):
        if limit != last:
            changes.append(
                Quota(
                    tokens_per_minute=limit.tokens,
                    requests_per_minute=limit.requests,
                    effective_from=day,
                    source=INVENTORY,
                )
            )
        last = limit
    return changes


def _set_quotas(connection: "Connection", number: int, wanted: list[Quota]) -> None:
    """Let a deployment have these quotas, unless the settings give it some."""
    own = quota.c.deployment_id == number
    standing = connection.execute(sa.select(quota).where(own).order_by(quota.c.effective_from)).all()
    if any(row.source == SETTINGS for row in standing):
        return
    fields = Quota.__struct_fields__
    if [tuple(getattr(row, name) for name in fields) for row in standing] == [
        tuple(getattr(one, name) for name in fields) for one in wanted
    ]:
        return
    connection.execute(sa.delete(quota).where(own, quota.c.source == INVENTORY))
    rows = [{"deployment_id": number, **{name: getattr(one, name) for name in fields}} for one in wanted]
    if rows:
        connection.execute(sa.insert(quota), rows)
