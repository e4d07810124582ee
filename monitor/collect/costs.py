"""Cost exports into the store: each says all it knows about its days, and replaces what was known of them."""

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from monitor.catalogue import bundled
from monitor.domain.stretch import Cursor, Misread
from monitor.errors import MonitorError
from monitor.sources import cost_export
from monitor.store.attribution import attribute
from monitor.store.charges import CostPull, last_seen, record_pull
from monitor.store.engine import reading, writing
from monitor.store.progress import Counts, count, set_aside, source_number

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from monitor.collect.tally import Tally

NOT_USAGE = 10_000
"""The authority of a source of costs: it says nothing of requests."""


def collect_costs(engine: "Engine", source: cost_export.Settings, tally: "Tally") -> None:
    """Record the exports that changed, oldest first, one transaction each; one that cannot be opened is told.

    Then say of every charge who it belongs to.
    """
    with writing(engine) as connection:
        number = source_number(connection, source.name, source.kind, NOT_USAGE)
    with reading(engine) as connection:
        known = last_seen(connection, number)
    for pull in cost_export.pulls(source, known, bundled()):
        if isinstance(pull, MonitorError):
            tally.errors.append(pull)
            continue
        with writing(engine) as connection:
            counts = _record(connection, number, pull, tally)
            count(connection, number, counts, pull.ignored, tally.now)
        tally.add(counts, pull.ignored)
    with writing(engine) as connection:
        attribute(connection)


def _record(connection: "Connection", number: int, pull: cost_export.ExportPull, tally: "Tally") -> Counts:
    result = record_pull(
        connection,
        CostPull(
            source_id=number,
            object=pull.name,
            fingerprint=pull.fingerprint,
            written_at=pull.modified_ns,
            recorded_at=tally.now,
            charges=pull.charges,
            days=pull.days,
        ),
    )
    new, known = _set_aside(connection, number, pull, tally)
    return Counts(
        read=pull.read,
        stored=result.stored,
        duplicates=result.duplicates + known,
        ignored=sum(pull.ignored.values()),
        quarantined=new,
        bytes=pull.bytes,
    )


def _set_aside(connection: "Connection", number: int, pull: cost_export.ExportPull, tally: "Tally") -> tuple[int, int]:
    """Quarantine the rows that could not be read; an export written anew under its old name is another life of it."""
    life = int(pull.fingerprint[:7], 16)
    new = known = 0
    for name, rows in groupby(pull.rejected, key=lambda row: row.object):
        at = Cursor(name=name, object=name, generation=life)
        added = set_aside(connection, number, at, _misread(rows), tally.now)
        new, known = new + added[0], known + added[1]
    return new, known


def _misread(rows: Iterable[cost_export.RejectedRow]) -> list[Misread]:
    return [Misread(row.position, 0, row.reason) for row in rows]
