"""What Azure has and had: every state of every resource, from when it was seen so until it no longer was.

Recording a list: 1 a resource in a state that is new gets a row, and the row before is superseded; 2 one that is as it
was gets nothing; 3 one that was there and is not in a whole list has disappeared: its row is superseded, and so are the
rows of what lay in it. An older look never replaces a newer one. A row counts at an instant if it was recorded by then
and not superseded yet.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from msgspec import json, to_builtins

from monitor.domain.inventory import DEPLOYED, Kind, Listing, Resource, State
from monitor.store.meta import noted, write_down
from monitor.store.tables import azure_resource

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

LISTED = "inventory: listed"
"""Under this key the store remembers which homes it could look into."""

OWN_COLUMNS = ("resource_id", "kind", "name", "region", "parent")
"""The fields of a resource that are columns; the others are kept as one JSON object."""


class Recorded(NamedTuple):
    """How many resources of a list were in a new state, as they were, and gone."""

    changed: int
    unchanged: int
    gone: int


def record_listing(connection: "Connection", source_id: int, listing: Listing, now: datetime) -> Recorded:
    """Record a list that was asked for at an instant, in the steps above."""
    newer, known = _known(connection, listing, now)
    changed = [one for one in listing.resources if one.resource_id not in newer and known.get(one.resource_id) != one]
    there = {one.resource_id for one in listing.resources}
    gone = sorted(known.keys() - there) if listing.whole else []
    _supersede(connection, [one.resource_id for one in changed], now)
    _supersede(connection, gone, now)
    for number in gone:
        _supersede_below(connection, number, now)
    _insert(connection, source_id, changed, now)
    return Recorded(len(changed), len(listing.resources) - len(changed), len(gone))


def note_listed(connection: "Connection", homes: set[str]) -> None:
    """Remember of which workspaces and accounts everything could be listed at least once."""
    known = listed(connection)
    if not homes <= known:
        write_down(connection, LISTED, json.encode(sorted(known | homes)).decode())


def listed(connection: "Connection") -> set[str]:
    """Return the ids of the homes of which everything could be listed at least once."""
    return set(json.decode(noted(connection, LISTED) or "[]", type=list[str]))


def current(connection: "Connection", as_of: datetime | None = None) -> list[Resource]:
    """Return what Azure has, as known now or at an instant, by id."""
    return [one.resource for one in states(connection, as_of) if one.seen_until is None]


def states(connection: "Connection", as_of: datetime | None = None) -> list[State]:
    """Return every state of every resource that is known now, or was at an instant, by id and time."""
    query = sa.select(azure_resource).order_by(azure_resource.c.resource_id, azure_resource.c.recorded_at)
    if as_of is not None:
        query = query.where(azure_resource.c.recorded_at <= as_of)
    return [_state(row, as_of) for row in connection.execute(query)]


def _state(row: Any, as_of: datetime | None) -> State:
    until = row.superseded_at
    if as_of is not None and until is not None and until > as_of:
        until = None
    return State(_resource(row), row.recorded_at, until)


def _resource(row: Any) -> Resource:
    known = {name: getattr(row, name) for name in OWN_COLUMNS}
    more: dict[str, Any] = json.decode(row.attributes)
    # An attribute that a later version wrote is none of ours.
    more = {name: value for name, value in more.items() if name in Resource.__struct_fields__}
    return Resource(**{**more, **known, "kind": Kind(row.kind)})


def _known(connection: "Connection", listing: Listing, now: datetime) -> tuple[set[str], dict[str, Resource]]:
    """Return of which resources in the scope something newer is known, and the states of the others that count."""
    table = azure_resource.c
    query = sa.select(azure_resource).where(
        table.kind == listing.kind.value,
        table.resource_id.startswith(f"{listing.scope}/", autoescape=True),
        sa.or_(table.superseded_at.is_(None), table.superseded_at > now, table.recorded_at > now),
    )
    newer: set[str] = set()
    standing: dict[str, Resource] = {}
    for row in connection.execute(query):
        if row.recorded_at > now or row.superseded_at is not None:
            newer.add(row.resource_id)
        else:
            standing[row.resource_id] = _resource(row)
    return newer, {number: one for number, one in standing.items() if number not in newer}


def _supersede(connection: "Connection", numbers: Sequence[str], now: datetime) -> None:
    for number in numbers:
        _end(connection, now, azure_resource.c.resource_id == number)


def _supersede_below(connection: "Connection", number: str, now: datetime) -> None:
    below = azure_resource.c.resource_id.startswith(f"{number}/", autoescape=True)
    _end(connection, now, below, azure_resource.c.recorded_at <= now)


def _end(connection: "Connection", now: datetime, *where: "sa.ColumnElement[bool]") -> None:
    table = azure_resource
    connection.execute(sa.update(table).where(*where, table.c.superseded_at.is_(None)).values(superseded_at=now))


def _insert(connection: "Connection", source_id: int, resources: Sequence[Resource], now: datetime) -> None:
    rows = [
        {**{name: getattr(one, name) for name in OWN_COLUMNS}, "attributes": _attributes(one)}
        | {"kind": one.kind.value, "source_id": source_id, "recorded_at": now, "superseded_at": None}
        for one in resources
    ]
    if not rows:
        return
    same = sa.and_(
        azure_resource.c.resource_id.in_([row["resource_id"] for row in rows]), azure_resource.c.recorded_at == now
    )
    # Two looks of one instant: the later to come is believed.
    connection.execute(sa.delete(azure_resource).where(same))
    connection.execute(sa.insert(azure_resource), rows)


def _attributes(one: Resource) -> str:
    # Of a resource only what is not as usual is written (omit_defaults).
    said = {name: value for name, value in to_builtins(one).items() if name not in OWN_COLUMNS}
    return json.encode(said, order="sorted").decode()


def lives(connection: "Connection", as_of: datetime | None = None) -> list[State]:
    """Return each deployment with each of its models as it last was, and its whole life, by id and time."""
    found: dict[tuple[str, str], State] = {}
    for one in states(connection, as_of):
        if one.resource.kind in DEPLOYED:
            key = one.resource.resource_id, one.resource.model
            found[key] = one._replace(seen_from=found[key].seen_from) if key in found else one
    return list(found.values())
