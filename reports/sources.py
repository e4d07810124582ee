"""Sources: what became of every record that was read, and how far each source is known.

read = stored + duplicates + ignored + quarantined, over the whole life of the store; the period only decides whether a
source counts as behind. `state`: current, behind, or empty (nothing is known from it).
"""

from collections import defaultdict
from typing import TYPE_CHECKING

import sqlalchemy as sa

from monitor.domain.answer import Column, Found, Question
from monitor.store.completeness import completeness
from monitor.store.tables import cost_pull, cursor, ignored_record, source

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COLUMNS = (
    Column("source", "text", "Source"),
    Column("kind", "text", "Kind"),
    Column("read", "count", "Read", summed=True),
    Column("stored", "count", "Stored", summed=True),
    Column("duplicates", "count", "Duplicates", summed=True),
    Column("ignored", "count", "Ignored", summed=True),
    Column("quarantined", "count", "Quarantined", summed=True),
    Column("objects", "count", "Objects", summed=True),
    Column("bytes", "count", "Bytes", summed=True),
    Column("known_up_to", "instant", "Known up to (UTC)"),
    Column("collected_at", "instant", "Collected (UTC)"),
    Column("state", "text", "State"),
    Column("note", "text", "Note"),
)


def answer(connection: "Connection", question: Question) -> Found:
    """Answer with one row per source, by name."""
    known = {one.source: one for one in completeness(connection, question)}
    reasons, objects = _reasons(connection), _objects(connection)
    rows = []
    for one in connection.execute(sa.select(source).order_by(source.c.name)):
        counts = (one.read, one.stored, one.duplicates, one.ignored, one.quarantined, objects.get(one.id, 0), one.bytes)
        upto, state = known[one.name].known_up_to, known[one.name].state
        rows.append((one.name, one.kind, *counts, upto, one.collected_at, state, reasons.get(one.id)))
    return Found(rows=rows, notes=["Counts are those of all time, not of the period."] if rows else [])


def _reasons(connection: "Connection") -> dict[int, str]:
    """Say by source why records were ignored, the most frequent reason first."""
    reasons: dict[int, list[str]] = defaultdict(list)
    asked = sa.select(ignored_record).order_by(ignored_record.c.records.desc(), ignored_record.c.reason)
    for one in connection.execute(asked):
        reasons[one.source_id].append(f"{one.records:,} ignored: {one.reason}")
    return {number: "; ".join(said) for number, said in reasons.items()}


def _objects(connection: "Connection") -> dict[int, int]:
    """Count by source the files or blobs that were read, or what costs were pulled from."""
    # A cursor of no life of an object says something of the source as a whole.
    logs = sa.select(cursor.c.source_id, sa.func.count()).where(cursor.c.generation >= 0).group_by(cursor.c.source_id)
    costs = sa.select(cost_pull.c.source_id, sa.func.count(cost_pull.c.object.distinct())).group_by(
        cost_pull.c.source_id
    )
    return {number: count for asked in (costs, logs) for number, count in connection.execute(asked)}
