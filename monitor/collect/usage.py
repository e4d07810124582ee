"""Response logs into the store: everything new, exactly once.

A batch is a few stretches of objects. One transaction stores its events, their rollups, its quarantine and the cursors
behind it; a crash between two batches loses nothing and repeats nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.domain.stretch import COLUMNS, Parsed, Piece
from monitor.errors import MonitorError
from monitor.sources.formats import named
from monitor.store.engine import writing
from monitor.store.inventory import Registry
from monitor.store.progress import Counts, KnownCursors, count, formats_read, move, set_aside, source_number
from monitor.store.usage import TOO_OLD, Events, pruned_before, settle_days, store_events

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from monitor.collect.collection import Collection

BATCH_EVENTS = 60_000
BATCH_PIECES = 500
UNKNOWN_AUTHORITY = 1000
"""Of a source whose format is not known yet: any other is believed before it."""


def collect_usage(one: "Collection") -> None:
    """Read all that is new in a source. What another collector reads meanwhile is left to it."""
    engine, source, tally = one.engine, one.source, one.tally
    with writing(engine) as connection:
        number = source_number(connection, source.name, source.kind, "events", UNKNOWN_AUTHORITY)
        formats = formats_read(connection, number)
        source_number(connection, source.name, source.kind, "events", _authority(source, formats))
    for batch in _batches(_pieces(one, KnownCursors(engine, number))):
        seen = {piece.after.format for piece in batch}
        with writing(engine) as connection:
            if not seen <= formats:
                formats |= seen
                source_number(connection, source.name, source.kind, "events", _authority(source, formats))
            moves = one.request.period is None
            counts, ignored = store_pieces(connection, number, one.registry, batch, tally.now, moves=moves)
        tally.add(counts, ignored)
    settle(engine)


def _pieces(one: "Collection", known: KnownCursors) -> Iterator[Piece]:
    tally = one.tally
    for piece in one.module.read(one.source, known, one.request, one.session):
        if isinstance(piece, MonitorError):
            tally.errors.append(piece)
            continue
        if piece.before.position == 0 or piece.before.format != piece.after.format:
            tally.formats[piece.after.format or "unknown"] += 1
        yield piece


def _authority(source: Any, formats: Iterable[str] = ()) -> int:
    """How far a source is believed: as the settings say, else as the formats it was read by are, lowest first."""
    if source.priority is not None:
        return int(source.priority)
    said = getattr(source, "format", "auto")
    listed = formats if said == "auto" else [said]
    return min((named(name).AUTHORITY for name in listed if name), default=UNKNOWN_AUTHORITY)


def settle(engine: "Engine") -> None:
    """Work out the busiest minutes of all days that changed, some in each transaction."""
    settled = 1
    while settled:
        with writing(engine) as connection:
            settled = settle_days(connection)


def _batches(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    events = 0
    for piece in pieces:
        batch.append(piece)
        events += piece.parsed.read
        if events >= BATCH_EVENTS or len(batch) >= BATCH_PIECES:
            yield batch
            batch, events = [], 0
    if batch:
        yield batch


def store_pieces(
    connection: "Connection",
    source_id: int,
    registry_: Registry,
    pieces: Sequence[Piece],
    now: datetime,
    *,
    moves: bool = True,
) -> tuple[Counts, Counter[str]]:
    """Store what stretches of a source held, and move the cursors behind them, in the caller's transaction."""
    if moves:
        pieces = [piece for piece in pieces if move(connection, source_id, piece.before, piece.after, now)]
    if not pieces:
        return Counts(), Counter()
    events = _events(connection, registry_, pieces)
    kept = events["minute"] >= pruned_before(connection)
    ignored = Counter({TOO_OLD: old} if (old := int((~kept).sum())) else {})
    counts = Counts(stored=store_events(connection, source_id, {name: column[kept] for name, column in events.items()}))
    counts.duplicates = int(kept.sum()) - counts.stored
    for piece in pieces:
        new, known = set_aside(connection, source_id, piece.before, piece.parsed.rejected, now)
        ignored.update(piece.parsed.ignored)
        counts.add(Counts(read=piece.parsed.read, quarantined=new, duplicates=known, bytes=piece.parsed.size))
    counts.ignored = ignored.total()
    count(connection, source_id, counts, ignored, now)
    return counts, ignored


def _events(connection: "Connection", registry_: Registry, pieces: Sequence[Piece]) -> Events:
    """Join the columns of all pieces, places replaced by deployments."""
    joined = {name: np.concatenate([_column(piece.parsed, name) for piece in pieces]) for name in COLUMNS}
    deployments = []
    for piece in pieces:
        numbers = [registry_.number(connection, place, piece.after.labels) for place in piece.parsed.places]
        deployments.append(np.array(numbers, dtype=np.int64)[_column(piece.parsed, "place")])
    joined["deployment_id"] = np.concatenate(deployments)
    del joined["place"]
    return joined


def _column(parsed: Parsed, name: str) -> Any:
    return np.frombuffer(parsed.columns.get(name, b""), dtype=np.int64)
