"""From the sources into the store: everything new, exactly once.

A batch is a few stretches of objects. One transaction stores its events, their rollups, its quarantine and the cursors
behind it; a crash between two batches loses nothing and repeats nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from monitor.describe import describe_settings, registry
from monitor.domain.period import Period, minute_number
from monitor.domain.stretch import COLUMNS, Parsed, Piece
from monitor.errors import MonitorError, SettingsError, UnknownNameError
from monitor.settings import Later, Settings
from monitor.sources import files
from monitor.sources.formats import named
from monitor.store.engine import reading, writing
from monitor.store.inventory import Registry
from monitor.store.migrate import ensure
from monitor.store.progress import Counts, MovedCursorError, count, cursors, move, set_aside, source_number
from monitor.store.usage import TOO_OLD, Events, pruned_before, settle_days, store_events

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

BATCH_EVENTS = 60_000
BATCH_PIECES = 500
UNKNOWN_AUTHORITY = 1000
"""Of a source whose format is not known yet: any other is believed before it."""

ATTEMPTS = 5
"""How often a source is taken up again after another collector was found reading the same objects."""

Progress = Callable[[str, int], None]
"""Told the source and how many bytes of it were just read."""


@dataclass(frozen=True, kw_only=True)
class SourceResult:
    """What one collection of one source did; read = stored + duplicates + ignored + quarantined."""

    source: str
    kind: str
    read: int = 0
    stored: int = 0
    duplicates: int = 0
    ignored: int = 0
    quarantined: int = 0
    bytes: int = 0
    seconds: float = 0.0
    ignored_reasons: dict[str, int] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    errors: tuple[MonitorError, ...] = ()


def collect(
    engine: "Engine", settings: Settings, *, now: datetime, names: Sequence[str] = (), progress: Progress | None = None
) -> list[SourceResult]:
    """Read every source, or those named, once; a source that fails is told in its result and stops no other."""
    wanted = _wanted(settings, names)
    ensure(engine)
    describe_settings(engine, settings)
    return [_collect_one(engine, settings, one, files.Request(), now, progress) for one in wanted]


def collect_range(
    engine: "Engine", settings: Settings, source: str, *, period: Period, now: datetime, progress: Progress | None = None
) -> SourceResult:
    """Read a source again from the start, taking only what falls into a period; what is known already is a duplicate."""
    (wanted,) = _wanted(settings, [source])
    ensure(engine)
    describe_settings(engine, settings)
    minutes = minute_number(period.start), minute_number(period.end)
    return _collect_one(engine, settings, wanted, files.Request(again=True, minutes=minutes), now, progress)


def import_files(
    engine: "Engine",
    settings: Settings,
    source: files.Settings,
    *,
    labels: dict[str, str],
    now: datetime,
    progress: Progress | None = None,
) -> SourceResult:
    """Read files once, as the source given; a half-written last line is final, for nobody will come back for the rest."""
    ensure(engine)
    describe_settings(engine, settings)
    return _collect_one(engine, settings, source, files.Request(final=True, labels=labels), now, progress)


def _wanted(settings: Settings, names: Sequence[str]) -> list[Any]:
    by_name = {one.name: one for one in settings.sources}
    for name in names:
        if name not in by_name:
            raise UnknownNameError("collect", "source", name, list(by_name))
    return [by_name[name] for name in names] if names else list(settings.sources)


def _collect_one(
    engine: "Engine", settings: Settings, source: Any, request: files.Request, now: datetime, progress: Progress | None
) -> SourceResult:
    started = monotonic()
    run = _Run(engine, settings, source, now, progress)
    try:
        if isinstance(source, Later):
            raise SettingsError(source.name, f"kind {source.kind!r} is not available in this version", "remove it or update")
        run.collect(request)
    except MonitorError as error:
        run.errors.append(error)
    return run.result(monotonic() - started)


class _Run:
    """One collection of one source, with what it counted."""

    def __init__(self, engine: "Engine", settings: Settings, source: Any, now: datetime, progress: Progress | None) -> None:
        self.engine, self.source, self.now, self.progress = engine, source, now, progress
        self.registry = registry(settings)
        self.counts = Counts()
        self.ignored: Counter[str] = Counter()
        self.formats: Counter[str] = Counter()
        self.errors: list[MonitorError] = []

    def result(self, seconds: float) -> SourceResult:
        counts = {name: getattr(self.counts, name) for name in self.counts.__struct_fields__}
        return SourceResult(
            source=self.source.name,
            kind=self.source.kind,
            seconds=round(seconds, 3),
            ignored_reasons=dict(self.ignored),
            formats=dict(self.formats),
            errors=tuple(self.errors),
            **counts,
        )

    def collect(self, request: files.Request) -> None:
        """Read all that is new; start again from the cursors when another collector got ahead of us."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._read(request)
                break
            except MovedCursorError:
                self.registry.forget()
                if attempt == ATTEMPTS:
                    raise SettingsError(
                        self.source.name, "other collectors keep reading the same objects", "run fewer of them"
                    ) from None
        while _settle(self.engine):
            pass

    def _read(self, request: files.Request) -> None:
        with writing(self.engine) as connection:
            number = source_number(connection, self.source.name, self.source.kind, self._authority())
        with reading(self.engine) as connection:
            known = cursors(connection, number)
        for batch in _batches(self._pieces(known, request)):
            self._store(number, batch, moves=not request.again)
        if self.source.format == "auto" and self.source.priority is None:
            with writing(self.engine) as connection:
                source_number(connection, self.source.name, self.source.kind, self._authority(cursors(connection, number)))

    def _authority(self, known: Iterable[Any] = ()) -> int:
        if self.source.priority is not None:
            return int(self.source.priority)
        formats = {one.format for one in known} if self.source.format == "auto" else {self.source.format}
        return min((named(name).AUTHORITY for name in formats if name), default=UNKNOWN_AUTHORITY)

    def _pieces(self, known: list[Any], request: files.Request) -> Iterator[Piece]:
        for piece in files.read(self.source, known, request):
            if isinstance(piece, MonitorError):
                self.errors.append(piece)
                continue
            if piece.before.position == 0 or piece.before.format != piece.after.format:
                self.formats[piece.after.format or "unknown"] += 1
            yield piece

    def _store(self, number: int, batch: list[Piece], *, moves: bool) -> None:
        with writing(self.engine) as connection:
            counts, ignored = store_pieces(connection, number, self.registry, batch, self.now, moves=moves)
        self.registry.keep()
        self.counts.add(counts)
        self.ignored.update(ignored)
        if self.progress:
            self.progress(self.source.name, counts.bytes)


def _settle(engine: "Engine") -> int:
    with writing(engine) as connection:
        return settle_days(connection)


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
    connection: "Connection", source_id: int, registry_: Registry, pieces: Sequence[Piece], now: datetime, *, moves: bool = True
) -> tuple[Counts, Counter[str]]:
    """Store what stretches of a source held, and move the cursors behind them, in the caller's transaction."""
    events = _events(connection, registry_, pieces)
    kept = events["minute"] >= pruned_before(connection)
    ignored = Counter({TOO_OLD: old} if (old := int((~kept).sum())) else {})
    counts = Counts(stored=store_events(connection, source_id, {name: column[kept] for name, column in events.items()}))
    counts.duplicates = int(kept.sum()) - counts.stored
    for piece in pieces:
        if moves:
            move(connection, source_id, piece.before, piece.after, now)
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
