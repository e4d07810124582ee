"""How far each source has been read: cursors, what was quarantined or ignored, and running totals.

All of it is written in the transaction that stores the records it speaks of, so that no crash can part them.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct, structs

from monitor.domain.records import Yield
from monitor.domain.stretch import Cursor, Misread
from monitor.errors import SettingsError
from monitor.store.engine import reading
from monitor.store.tables import cursor, ignored_record, quarantine, source

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

AT_ONCE = 500


class Counts(Struct, kw_only=True):
    """What became of records: read = stored + duplicates + ignored + quarantined."""

    read: int = 0
    stored: int = 0
    duplicates: int = 0
    ignored: int = 0
    quarantined: int = 0
    bytes: int = 0

    def add(self, other: "Counts") -> None:
        """Add another stretch's counts."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def source_number(connection: "Connection", name: str, kind: str, yields: Yield, authority: int) -> int:
    """Find or make the row of a source and note how far it is believed; SettingsError if it is of another kind.

    What was read from it stays what it was: a log does not become a bill because its source is now called one.
    """
    found = connection.execute(sa.select(source.c.id, source.c.kind).where(source.c.name == name)).one_or_none()
    if found is None:
        zero = dict.fromkeys(("read", "stored", "duplicates", "ignored", "quarantined", "bytes"), 0)
        said = {"name": name, "kind": kind, "yields": yields, "authority": authority}
        result = connection.execute(source.insert().values(**said, **zero))
        return int(result.inserted_primary_key[0])  # type: ignore[index]
    number, before = found
    if kind != before:
        raise SettingsError(
            f"source {name!r}",
            f"the store knows it as one of kind {before!r}, not {kind!r}",
            "give this one another name: in the settings, or for `import` with --source",
        )
    connection.execute(source.update().where(source.c.id == number).values(authority=authority))
    return int(number)


def authority_of(connection: "Connection", name: str) -> int | None:
    """Return how far a source is believed, None if nothing was read from it yet."""
    number: int | None = connection.scalar(sa.select(source.c.authority).where(source.c.name == name))
    return number


class KnownCursors:
    """The cursors of a source, looked up as they are needed."""

    def __init__(self, engine: "Engine", source_id: int) -> None:
        self._engine, self._source_id = engine, source_id

    def all(self) -> list[Cursor]:
        """Return the cursors of every object."""
        return self._where()

    def of(self, names: Iterable[str]) -> list[Cursor]:
        """Return the cursors of the objects of these names."""
        wanted, found = sorted(set(names)), []
        for start in range(0, len(wanted), AT_ONCE):
            found += self._where(cursor.c.name.in_(wanted[start : start + AT_ONCE]))
        return found

    def _where(self, *conditions: "sa.ColumnElement[bool]") -> list[Cursor]:
        fields = [cursor.c[name] for name in Cursor.__struct_fields__]
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(*fields).where(cursor.c.source_id == self._source_id, *conditions))
            return [Cursor(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public accessor


def formats_read(connection: "Connection", source_id: int) -> set[str]:
    """Return the formats that the objects of a source were found to be of."""
    return set(connection.scalars(sa.select(cursor.c.format).where(cursor.c.source_id == source_id).distinct()))


def move(connection: "Connection", source_id: int, before: Cursor, after: Cursor, now: datetime) -> bool:
    """Move a cursor; False if it no longer stands where it was: another collector has read that stretch meanwhile."""
    here = sa.and_(
        cursor.c.source_id == source_id,
        cursor.c.object == after.object,
        cursor.c.generation == after.generation,
    )
    values: dict[str, Any] = {**structs.asdict(after), "collected_at": now}
    stands = connection.scalar(sa.select(cursor.c.position).where(here))
    if stands is None:
        connection.execute(cursor.insert().values(source_id=source_id, **values))
    elif stands == before.position:
        connection.execute(cursor.update().where(here).values(**values))
    return stands in (None, before.position)


def set_aside(
    connection: "Connection", source_id: int, at: Cursor, misread: Iterable[Misread], now: datetime
) -> tuple[int, int]:
    """Put records that could not be read into quarantine; return how many were new and how many were there already."""
    rows = [
        {
            "source_id": source_id,
            "object": at.object,
            "generation": at.generation,
            "name": at.name,
            "position": one.position,
            "length": one.length,
            "reason": one.reason,
            "recorded_at": now,
        }
        for one in misread
    ]
    if not rows:
        return 0, 0
    before = _quarantined(connection, source_id)
    _insert_or_ignore(connection, quarantine, rows)
    new = _quarantined(connection, source_id) - before
    return new, len(rows) - new


def _quarantined(connection: "Connection", source_id: int) -> int:
    counted = sa.select(sa.func.count()).select_from(quarantine).where(quarantine.c.source_id == source_id)
    return int(connection.scalar(counted) or 0)


def _insert_or_ignore(connection: "Connection", table: sa.Table, rows: list[dict[str, Any]]) -> None:
    from sqlalchemy.dialects import postgresql, sqlite

    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def count(connection: "Connection", source_id: int, counts: Counts, ignored: Mapping[str, int], now: datetime) -> None:
    """Add to the running totals of a source."""
    added = {source.c[name]: source.c[name] + getattr(counts, name) for name in counts.__struct_fields__}
    connection.execute(source.update().where(source.c.id == source_id).values({**added, source.c.collected_at: now}))
    for reason, records in ignored.items():
        here = sa.and_(ignored_record.c.source_id == source_id, ignored_record.c.reason == reason)
        changed = connection.execute(
            ignored_record.update().where(here).values(records=ignored_record.c.records + records)
        )
        if changed.rowcount == 0:
            connection.execute(ignored_record.insert().values(source_id=source_id, reason=reason, records=records))
