"""Small facts that the store remembers about itself."""

from typing import TYPE_CHECKING

import sqlalchemy as sa

from monitor.store.tables import meta

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def noted(connection: "Connection", key: str) -> str | None:
    """Return what was written down under a key."""
    return connection.scalar(sa.select(meta.c.value).where(meta.c.key == key))


def write_down(connection: "Connection", key: str, value: str) -> None:
    """Write a fact down, over what was there."""
    changed = connection.execute(meta.update().where(meta.c.key == key).values(value=value))
    if changed.rowcount == 0:
        connection.execute(meta.insert().values(key=key, value=value))
