"""What was billed into the store: each answer says all it knows about its days, and replaces what was known of them."""

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from monitor.domain.stretch import Cursor, Misread
from monitor.errors import MonitorError
from monitor.sources.cost_answer import CostAnswer, RejectedRow
from monitor.store.attribution import attribute
from monitor.store.charges import CostPull, last_seen, record_pull
from monitor.store.engine import reading, writing
from monitor.store.progress import Counts, count, set_aside, source_number

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from monitor.collect.collection import Collection
    from monitor.collect.tally import Tally

NOT_USAGE = 10_000
"""The authority of a source of costs: it says nothing of requests."""


def collect_costs(one: "Collection") -> None:
    """Record the answers that are new, oldest first, one transaction each; one that cannot be had is told.

    Then say of every charge who it belongs to.
    """
    source, tally = one.source, one.tally
    with writing(one.engine) as connection:
        number = source_number(connection, source.name, source.kind, "charges", NOT_USAGE)
    with reading(one.engine) as connection:
        known = last_seen(connection, number)
    for answer in one.module.pulls(source, known, one.request, one.session):
        if isinstance(answer, MonitorError):
            tally.errors.append(answer)
            continue
        with writing(one.engine) as connection:
            counts = _record(connection, number, answer, tally)
            count(connection, number, counts, answer.ignored, tally.now)
        tally.add(counts, answer.ignored)
    with writing(one.engine) as connection:
        attribute(connection)


def _record(connection: "Connection", number: int, answer: CostAnswer, tally: "Tally") -> Counts:
    result = record_pull(
        connection,
        CostPull(
            source_id=number,
            object=answer.name,
            fingerprint=answer.fingerprint,
            written_at=answer.written_at,
            recorded_at=tally.now,
            charges=answer.charges,
            days=answer.days,
            scope=answer.scope,
        ),
    )
    new, known = _set_aside(connection, number, answer, tally)
    return Counts(
        read=answer.read,
        stored=result.stored,
        duplicates=result.duplicates + known,
        ignored=sum(answer.ignored.values()),
        quarantined=new,
        bytes=answer.bytes,
    )


def _set_aside(connection: "Connection", number: int, answer: CostAnswer, tally: "Tally") -> tuple[int, int]:
    """Quarantine the rows that could not be read; an export written anew under its old name is another life of it."""
    life = int(answer.fingerprint[:7], 16)
    new = known = 0
    for name, rows in groupby(answer.rejected, key=lambda row: row.object):
        at = Cursor(name=name, object=name, generation=life)
        added = set_aside(connection, number, at, _misread(rows), tally.now)
        new, known = new + added[0], known + added[1]
    return new, known


def _misread(rows: Iterable[RejectedRow]) -> list[Misread]:
    return [Misread(row.position, 0, row.reason) for row in rows]
