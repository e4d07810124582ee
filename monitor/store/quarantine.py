"""Records that could not be read: where they lie and why, never what they say."""

from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from msgspec import Struct

from monitor.store.tables import quarantine, source

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class SetAside(Struct, frozen=True, kw_only=True):
    """One record that could not be read: its object, its place there in bytes, and the reason."""

    source: str
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


def count_quarantined(connection: "Connection") -> int:
    """Count what is in quarantine."""
    return int(connection.scalar(sa.select(sa.func.count()).select_from(quarantine)) or 0)
