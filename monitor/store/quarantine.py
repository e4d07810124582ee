"""Records that could not be read: where they lie and why, never what they say."""

from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from msgspec import Struct

from monitor.store.tables import cursor, quarantine, source

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class SetAside(Struct, frozen=True, kw_only=True):
    """One record that could not be read: its object, its place there (monitor.sources: bytes, or rows of exports)."""

    source: str
    kind: str
    object: str
    position: int
    length: int
    reason: str
    recorded_at: datetime


def quarantined(connection: "Connection", limit: int | None = None) -> list[SetAside]:
    """Return what is in quarantine, the newest first."""
    query = (
        sa.select(
            source.c.name.label("source"),
            source.c.kind,
            quarantine.c.name.label("object"),
            quarantine.c.position,
            quarantine.c.length,
            quarantine.c.reason,
            quarantine.c.recorded_at,
        )
        .join(source, source.c.id == quarantine.c.source_id)
        .order_by(quarantine.c.id.desc())
        .limit(limit)
    )
    return [SetAside(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public accessor


class Alike(Struct, frozen=True, kw_only=True):
    """The records of one object that could not be read for one reason: how many, the first place, the last time."""

    source: str
    kind: str
    object: str
    reason: str
    records: int
    position: int
    recorded_at: datetime


def quarantined_alike(connection: "Connection", limit: int | None = None) -> list[Alike]:
    """Return what is in quarantine by object and reason, the newest first."""
    keys = source.c.name.label("source"), source.c.kind, quarantine.c.name.label("object"), quarantine.c.reason
    query = (
        sa.select(
            *keys,
            sa.func.count().label("records"),
            sa.func.min(quarantine.c.position).label("position"),
            sa.func.max(quarantine.c.recorded_at).label("recorded_at"),
        )
        .join(source, source.c.id == quarantine.c.source_id)
        .group_by(source.c.name, source.c.kind, quarantine.c.name, quarantine.c.reason)
        .order_by(sa.func.max(quarantine.c.id).desc())
        .limit(limit)
    )
    return [Alike(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public accessor


def count_quarantined(connection: "Connection", kind: str | None = None) -> int:
    """Count what is in quarantine, of all sources or of those of one kind."""
    query = sa.select(sa.func.count()).select_from(quarantine)
    if kind:
        query = query.join(source, source.c.id == quarantine.c.source_id).where(source.c.kind == kind)
    return int(connection.scalar(query) or 0)


class Waiting(Struct, frozen=True, kw_only=True):
    """A record in quarantine with all it takes to read it again; `format` is '' where none was recognised.

    Up to `read_to` its object has been read, and `tail` proves that it is still the same (domain.stretch.Cursor).
    """

    id: int
    source_id: int
    source: str
    object: str
    generation: int
    name: str
    labels: str
    format: str
    read_to: int
    tail: str
    position: int
    length: int


def waiting(connection: "Connection", kind: str) -> list[Waiting]:
    """Return the records in quarantine of all sources of a kind whose objects have a cursor."""
    same = sa.and_(
        cursor.c.source_id == quarantine.c.source_id,
        cursor.c.object == quarantine.c.object,
        cursor.c.generation == quarantine.c.generation,
    )
    columns = [quarantine.c[name] for name in ("id", "source_id", "object", "generation", "position", "length")]
    columns += [cursor.c[name] for name in ("name", "labels", "format", "tail")]
    query = (
        sa.select(*columns, source.c.name.label("source"), cursor.c.position.label("read_to"))
        .join(cursor, same)
        .join(source, source.c.id == quarantine.c.source_id)
        .where(source.c.kind == kind)
        .order_by(quarantine.c.id)
    )
    return [Waiting(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public accessor


def release(connection: "Connection", number: int) -> bool:
    """Take a record out of quarantine; False if somebody else has."""
    return connection.execute(quarantine.delete().where(quarantine.c.id == number)).rowcount == 1
