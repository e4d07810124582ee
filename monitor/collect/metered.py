"""Metered minutes into the store: each answer says its minutes anew, and one transaction stores it with its cursor."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from monitor.collect.usage import settle
from monitor.domain.metered import MeteredStretch, Said, together
from monitor.domain.stretch import Cursor, Misread
from monitor.errors import MonitorError
from monitor.store.engine import writing
from monitor.store.metered import record_minutes
from monitor.store.progress import Counts, KnownCursors, count, move, set_aside, source_number

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from monitor.collect.collection import Collection


def collect_minutes(one: "Collection") -> None:
    """Record what the meters say, stretch by stretch; a stretch that another collector has read meanwhile is its."""
    source, tally = one.source, one.tally
    authority = one.module.AUTHORITY if source.priority is None else source.priority
    with writing(one.engine) as connection:
        number = source_number(connection, source.name, source.kind, "minutes", authority)
    for stretch in one.module.stretches(source, KnownCursors(one.engine, number), one.request, one.session):
        if isinstance(stretch, MonitorError):
            tally.errors.append(stretch)
            continue
        with writing(one.engine) as connection:
            counts = _record(connection, number, stretch, one)
        tally.add(counts, stretch.ignored if counts.ignored else {})
    settle(one.engine)


def _record(connection: "Connection", number: int, stretch: MeteredStretch, one: "Collection") -> Counts:
    now = one.tally.now
    if one.request.period is None and not move(connection, number, stretch.before, stretch.after, now):
        return Counts()
    counts = record_minutes(connection, number, _by_deployment(connection, stretch, one))
    ignored = sum(stretch.ignored.values())
    counts.add(Counts(read=ignored, ignored=ignored))
    for value in stretch.rejected:
        at = Cursor(name=value.object, object=value.object, generation=0)
        new, known = set_aside(connection, number, at, [Misread(value.minute, 0, value.reason)], now)
        counts.add(Counts(read=1, quarantined=new, duplicates=known))
    count(connection, number, counts, stretch.ignored, now)
    return counts


def _by_deployment(
    connection: "Connection", stretch: MeteredStretch, one: "Collection"
) -> Mapping[int, Mapping[int, Said]]:
    named: dict[int, list[Mapping[int, Said]]] = defaultdict(list)
    for metered in stretch.deployments:
        named[one.registry.number(connection, metered.place, stretch.after.labels)].append(metered.minutes)
    return {deployment_id: together(some) for deployment_id, some in named.items()}
