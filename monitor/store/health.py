"""What the doctor asks of the store: does it answer, take writes and hold together, and what does it hold."""

from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa
from msgspec import Struct

from monitor.domain.period import day_of
from monitor.errors import UnreachableError
from monitor.store.billed import known
from monitor.store.tables import (
    charge,
    charged_resource,
    cost_pull,
    deployment,
    meta,
    quarantine,
    source,
    usage_day,
    usage_minute,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine


class SourceHealth(Struct, frozen=True, kw_only=True):
    """How a source stands: its newest minute of usage and billed day (since 1970), and how many records were set aside.

    `collected_at`: when it last said something.
    """

    name: str
    newest: int | None
    quarantined: int
    billed: int | None = None
    collected_at: datetime | None = None


def damage(connection: "Connection") -> str | None:
    """Return what SQLite finds wrong with its own file; PostgreSQL has checksums of its own for that."""
    if connection.dialect.name != "sqlite":
        return None
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    return None if found == "ok" else str(found)


def told(engine: "Engine", error: sa.exc.DatabaseError) -> UnreachableError | None:
    """Return what an operator should know of a store that cannot be read; None if the error is of another sort.

    The driver knows two kinds: a file that is no database at all, and one that is damaged.
    """
    said = getattr(error.orig, "sqlite_errorname", "")
    remedies = {
        "SQLITE_NOTADB": "name another store by --store or store.url, or move this file away and collect again",
        "SQLITE_CORRUPT": "restore a backup, or move this file away and collect again",
    }
    if said not in remedies:
        return None
    what = str(error.orig).strip().splitlines()[0]
    return UnreachableError(str(engine.url.database), what, remedies[said])


def touch(connection: "Connection") -> None:
    """Write a row and take it back, in a writing transaction: the store accepts writes if this raises nothing."""
    connection.execute(meta.insert().values(key="doctor", value=""))
    connection.execute(meta.delete().where(meta.c.key == "doctor"))


def usage_span(connection: "Connection") -> tuple[date, date] | None:
    """Return the first and last UTC day with usage; None if there is none."""
    first, last = connection.execute(sa.select(sa.func.min(usage_day.c.day), sa.func.max(usage_day.c.day))).one()
    return None if first is None else (day_of(first), day_of(last))


def source_health(connection: "Connection") -> list[SourceHealth]:
    """Return how each source stands, by name."""
    newest = sa.select(sa.func.max(usage_minute.c.minute)).where(usage_minute.c.source_id == source.c.id)
    aside = sa.select(sa.func.count()).where(quarantine.c.source_id == source.c.id)
    billed = sa.select(sa.func.max(cost_pull.c.last_day)).where(cost_pull.c.source_id == source.c.id)
    query = sa.select(
        source.c.name,
        newest.scalar_subquery(),
        aside.scalar_subquery(),
        billed.scalar_subquery(),
        source.c.collected_at,
    ).order_by(source.c.name)
    return [
        SourceHealth(name=name, newest=minute, quarantined=count, billed=day, collected_at=collected)
        for name, minute, count, day, collected in connection.execute(query)
    ]


def models_used(connection: "Connection") -> list[tuple[str, int]]:
    """Return each model that was used, '' for an unknown one, with the last UTC day of its use (days since 1970)."""
    query = sa.select(deployment.c.model, sa.func.max(usage_day.c.day)).join(
        usage_day, usage_day.c.deployment_id == deployment.c.id
    )
    rows = connection.execute(query.group_by(deployment.c.model).order_by(deployment.c.model))
    return [(row[0], row[1]) for row in rows]


class Billed(NamedTuple):
    """How many resources are billed, each model of one for itself, and how many of these belong to no deployment.

    `resources`: the resources of the latter, however many models they bill.
    """

    billed: int
    unattributed: int
    resources: int


def billed_resources(connection: "Connection") -> Billed:
    """Count what is billed as `charges map` lists it: by resource and model, whoever sells it."""
    number, nobodys = charged_resource.c.id, charged_resource.c.deployment_id.is_(None)
    counts = (number, sa.case((nobodys, number)), sa.case((nobodys, charged_resource.c.resource_id)))
    query = (
        sa.select(*(sa.func.count(sa.distinct(one)) for one in counts))
        .join(charge, charge.c.resource == number)
        .where(*known(charge, None))
    )
    return Billed(*map(int, connection.execute(query).one()))
