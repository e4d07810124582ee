"""Proof that the rollups say what the events say."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from monitor.domain.period import day_of, instant_of, rfc3339
from monitor.domain.quota import Busiest
from monitor.store.meta import noted
from monitor.store.rolling import VALUES, summed_events, summed_minutes
from monitor.store.tables import deployment, source, usage_day, usage_event, usage_minute
from monitor.store.usage import PRUNED, busiest_minutes

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def verify(connection: "Connection") -> Iterator[str]:
    """Yield every difference between events and minutes, minutes and days, days and their busiest minutes.

    None is well.

    Minutes from before the events were pruned have nothing left to be held against, and are passed over, as are those
    of sources that report sums by minute and no events.
    """
    kept_from = int(noted(connection, PRUNED) or 0)
    names: dict[int, str] = {
        row.id: row.name for row in connection.execute(sa.select(deployment.c.id, deployment.c.name))
    }
    summed = summed_events().where(usage_event.c.minute >= kept_from)
    of_events = sa.select(source.c.id).where(source.c.yields == "events")
    stored = _rollup(usage_minute, "minute").where(
        usage_minute.c.minute >= kept_from, usage_minute.c.source_id.in_(of_events)
    )
    for row in _differences(connection, summed, stored):
        yield f"{names.get(row[0], row[0])}: the minute {rfc3339(instant_of(row[2]))} differs from its events"
    for row in _differences(connection, summed_minutes(), _rollup(usage_day, "day")):
        yield f"{names.get(row[0], row[0])}: the day {day_of(row[2])} differs from its minutes"
    yield from _wrong_busiest(connection, names)


def _rollup(table: sa.Table, time: str) -> "sa.Select[Any]":
    return sa.select(table.c.deployment_id, table.c.source_id, table.c[time], *(table.c[name] for name in VALUES))


def _differences(connection: "Connection", one: "sa.Select[Any]", other: "sa.Select[Any]") -> list[tuple[Any, ...]]:
    """Rows of either query that the other does not have, one for each (deployment, source, time)."""
    rows = [*connection.execute(sa.except_(one, other)), *connection.execute(sa.except_(other, one))]
    return sorted({tuple(row[:3]) for row in rows})


def _wrong_busiest(connection: "Connection", names: "dict[int, str]") -> Iterator[str]:
    day = usage_day.c
    settled = sa.select(day.deployment_id, day.source_id, day.day, day.busiest).where(day.busiest.is_not(None))
    for row in connection.execute(settled).all():
        if Busiest.encode(*busiest_minutes(connection, row.deployment_id, row.source_id, row.day)) != row.busiest:
            name = names.get(row.deployment_id, row.deployment_id)
            yield f"{name}: the busiest minutes of {day_of(row.day)} are not those of its minutes"
