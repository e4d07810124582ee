"""Records in quarantine, read again as this version understands them; what can be read now leaves the quarantine."""

from datetime import datetime
from io import BufferedReader
from time import monotonic
from typing import TYPE_CHECKING

from monitor.collect_usage import settle, store_pieces
from monitor.describe import describe_settings, registry
from monitor.domain.stretch import Cursor, Parsed, Piece
from monitor.settings import Settings
from monitor.sources import files
from monitor.sources.formats import named
from monitor.sources.objects import Decompressed, skip
from monitor.sources.parse import Task, parse_bytes, parse_document
from monitor.sources.reading import Reading
from monitor.store.engine import reading, writing
from monitor.store.inventory import Registry
from monitor.store.migrate import ensure
from monitor.store.progress import Counts, count
from monitor.store.quarantine import Waiting, release, waiting
from monitor.tally import SourceResult, Tally

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def retry_quarantine(engine: "Engine", settings: Settings, *, now: datetime) -> list[SourceResult]:
    """Read every record in quarantine again where it lies, if it is still there.

    Rows of cost exports are passed over: a corrected export is read as a new one, and replaces the old.
    """
    ensure(engine)
    describe_settings(engine, settings)
    with reading(engine) as connection:
        records = waiting(connection, files.KIND)
    results = []
    for source in sorted({record.source for record in records}):
        started = monotonic()
        tally = Tally(source=source, kind=files.KIND, now=now)
        reading_ = _reading(settings, source)
        for record in (one for one in records if one.source == source):
            _retry(engine, record, reading_, registry(settings), tally)
        results.append(tally.result(monotonic() - started))
    settle(engine)
    return results


def _reading(settings: Settings, source: str) -> Reading:
    named_so = [one for one in settings.sources if one.name == source and one.kind == files.KIND]
    return Reading(count_without_response_id=bool(named_so) and named_so[0].count_without_response_id)


def _retry(engine: "Engine", record: Waiting, reading_: Reading, registry_: Registry, tally: Tally) -> None:
    parsed = _parse(record, reading_)
    if parsed is None or parsed.rejected or not parsed.read:
        tally.add(Counts(read=1, quarantined=1), {})
        return
    at = Cursor(name=record.name, object=record.object, generation=record.generation, labels=record.labels)
    with writing(engine) as connection:
        if not release(connection, record.id):
            return
        piece = Piece(before=at, after=at, parsed=parsed)
        counts, ignored = store_pieces(connection, record.source_id, registry_, [piece], tally.now, moves=False)
        # The record was counted as read when it was put into quarantine.
        count(connection, record.source_id, Counts(read=-1, quarantined=-1), {}, tally.now)
    registry_.keep()
    tally.add(counts, ignored)


def _parse(record: Waiting, reading_: Reading) -> Parsed | None:
    """Decode one record where it lies; None if it is no longer there or nothing is known to read it by."""
    if not record.format:
        return None
    try:
        with BufferedReader(Decompressed(record.name)) as stream:
            skip(stream, record.position)
            data = stream.read(record.length)
    except OSError:
        return None
    task = Task(
        format=record.format,
        identity_scope=record.source,
        object_key=f"{record.object}\0{record.generation}",
        start=record.position,
        final=True,
        reading=reading_,
    )
    if len(data) < record.length:
        return None
    if record.position == 0 and b"\n" in data and named(record.format).FRAMING == "document":
        return parse_document(task, data)
    return parse_bytes(task, data)
