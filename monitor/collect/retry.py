"""Records in quarantine, read again as this version understands them; what can be read now leaves the quarantine."""

from collections.abc import Callable
from datetime import datetime
from io import BufferedReader
from time import monotonic
from typing import TYPE_CHECKING, Any

from monitor.clock import Clock
from monitor.collect import open_session
from monitor.collect.tally import SourceResult, Tally
from monitor.collect.usage import settle, store_pieces
from monitor.config import source_kinds
from monitor.config.settings import Settings
from monitor.describe import describe_settings, registry
from monitor.domain.stretch import Cursor, Parsed, Piece
from monitor.errors import MonitorError, SettingsError
from monitor.sources import blobs, files
from monitor.sources.formats import detect, named
from monitor.sources.opening import Decompressed, Object, holds, skip
from monitor.sources.parse import MAX_RECORD_BYTES, ChangedError, Task, parse_bytes, parse_document
from monitor.sources.reading import Reading
from monitor.store.engine import reading, writing
from monitor.store.inventory import Registry
from monitor.store.migrate import ensure
from monitor.store.progress import Counts, count
from monitor.store.quarantine import Waiting, release, waiting

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def retry_quarantine(engine: "Engine", settings: Settings, *, now: datetime) -> list[SourceResult]:
    """Read every record in quarantine again where it lies, if it is still there.

    Only kinds of sources that have a `lying(settings, session)` keep their records where they lie. Others are passed
    over: a corrected cost export is read as a new one and replaces the old, what was asked for is asked for again.
    """
    ensure(engine)
    describe_settings(engine, settings)
    results = []
    with open_session(engine, settings, now=now, clock=Clock()) as session:
        for kind, module in source_kinds().items():
            if not hasattr(module, "lying"):
                continue
            with reading(engine) as connection:
                records = waiting(connection, kind)
            for source in sorted({record.source for record in records}):
                tally = Tally(source=source, kind=kind, now=now)
                started = monotonic()
                try:
                    said = _settings(settings, source, kind)
                    with module.lying(said, session) as at:
                        deployments = registry(settings)
                        for record in (one for one in records if one.source == source):
                            _retry(engine, record, _parse(record, said, at), deployments, tally)
                except MonitorError as error:
                    tally.errors.append(error)
                results.append(tally.result(monotonic() - started))
    settle(engine)
    return results


def _settings(settings: Settings, source: str, kind: str) -> Any:
    """What the settings say of a source now; an import has none, and its files lie where they did."""
    said = [one for one in settings.sources if one.name == source and one.kind == kind]
    if not said and kind != files.KIND:
        raise SettingsError(
            source, "has records in quarantine and is not in the settings", "put it back to have them read"
        )
    return said[0] if said else files.Settings(name=source, kind=files.KIND, path="")


def _retry(engine: "Engine", record: Waiting, parsed: Parsed | None, registry_: Registry, tally: Tally) -> None:
    if parsed is None or parsed.rejected or not parsed.read:
        tally.add(Counts(read=1, quarantined=1), {})
        return
    at = _cursor(record)
    with writing(engine) as connection:
        if not release(connection, record.id):
            return
        piece = Piece(before=at, after=at, parsed=parsed)
        counts, ignored = store_pieces(connection, record.source_id, registry_, [piece], tally.now, moves=False)
        # The record was counted as read when it was put into quarantine.
        count(connection, record.source_id, Counts(read=-1, quarantined=-1), {}, tally.now)
    tally.add(counts, ignored)


def _parse(record: Waiting, source: files.Settings | blobs.Settings, at: Callable[[str], Object]) -> Parsed | None:
    """Decode one record where it lies.

    None if it is no longer there, is longer than any record may be, or nothing is known to read it by.
    """
    try:
        found = at(record.name)
        if record.length > MAX_RECORD_BYTES or not _same_life(record, found):
            return None
        with BufferedReader(Decompressed(found)) as stream:
            skip(stream, record.position)
            data = stream.read(record.length)
    except (OSError, ChangedError):
        return None
    format_ = source.format if source.format != "auto" else _recognised(record, data)
    if len(data) < record.length or not format_:
        return None
    task = Task(
        format=format_,
        identity_scope=record.source,
        object_key=_cursor(record).key,
        start=record.position,
        final=True,
        reading=Reading(
            modified_ms=found.modified_ns // 1_000_000, count_without_response_id=source.count_without_response_id
        ),
    )
    if record.position == 0 and b"\n" in data and named(format_).FRAMING == "document":
        return parse_document(task, data)
    return parse_bytes(task, data)


def _cursor(record: Waiting) -> Cursor:
    return Cursor(
        name=record.name,
        object=record.object,
        generation=record.generation,
        labels=record.labels,
        position=record.read_to,
        tail=record.tail,
    )


def _same_life(record: Waiting, found: Object) -> bool:
    """Whether the object still holds what was read of it, and is not another one under the old name."""
    return record.read_to == 0 or holds(found, _cursor(record))


def _recognised(record: Waiting, data: bytes) -> str:
    """The format that its object was of, unless that was none or the record is of another."""
    found = detect(data)
    return found.NAME if found else record.format
