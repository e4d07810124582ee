"""The doctor: looks at settings, sources, store, prices and charges, and names the remedy of whatever is wrong."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct
from sqlalchemy.exc import DatabaseError

from monitor.catalogue import bundled
from monitor.config.settings import Later, Settings
from monitor.domain.period import instant_of, minute_number
from monitor.errors import MonitorError, counted
from monitor.sources import cost_export
from monitor.sources.formats import detect
from monitor.sources.objects import Found, beginning, find
from monitor.store import migrate
from monitor.store.engine import open_engine, reading, writing
from monitor.store.health import SourceHealth, billed_resources, damage, models_used, source_health, told, touch
from monitor.store.prices import price_book

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

State = Literal["well", "note", "wrong"]

STALE_MINUTES = 24 * 60
"""A source of logs whose newest record is older than this has probably stopped."""

SAMPLED_FILES = 20
"""So many files of a source are opened, the newest first; a folder may hold a million."""

SAMPLE_BYTES = 64 * 1024


class Finding(Struct, frozen=True, kw_only=True):
    """One thing looked at: `wrong` makes the doctor fail, `note` only tells; `remedy` is '' where all is well."""

    subject: str
    state: State
    what: str
    remedy: str = ""


def examine(settings: Settings, *, now: datetime) -> Iterator[Finding]:
    """Yield what is found, in the order in which things depend on each other. Leaves nothing behind."""
    yield _well("settings", f"read from {settings.file}" if settings.file else "none, defaults apply")
    yield from _idle(settings)
    yield from _sources(settings, now)
    try:
        engine = open_engine(settings.store.url)
    except MonitorError as error:
        yield _of(error)
        return
    yield from _store(engine, settings, now)
    engine.dispose()


def _idle(settings: Settings) -> Iterator[Finding]:
    """Name the tables that are kept for a later version, lest somebody rely on them."""
    unwatched = "do not rely on being alerted; it can stay for a later version"
    for table, held in (("[[rule]]", settings.rules), ("[[channel]]", settings.channels)):
        if held:
            yield _note(table, "does nothing in this version", unwatched)


def _store(engine: "Engine", settings: Settings, now: datetime) -> Iterator[Finding]:
    file = engine.url.database
    if engine.dialect.name == "sqlite" and file not in (None, ":memory:") and not Path(str(file)).exists():
        yield _note("store", f"{file} is not there yet", "run maas-monitor collect")
        return
    try:
        migrate.require_current(engine)
        with writing(engine) as connection:
            touch(connection)
        with reading(engine) as connection:
            broken = damage(connection)
            yield (
                _wrong("store", broken, "restore a backup") if broken else _well("store", "current, writable and whole")
            )
            yield from _contents(connection, settings, now)
    except MonitorError as error:
        yield _of(error)
    except DatabaseError as error:
        unreadable = told(engine, error)
        if unreadable is None:
            raise
        yield _of(unreadable)


def _contents(connection: "Connection", settings: Settings, now: datetime) -> Iterator[Finding]:
    health = {one.name: one for one in source_health(connection)}
    for source in settings.sources:
        if not isinstance(source, Later):
            yield from _collected(source, health.get(source.name), now)
    yield from _prices(connection)
    billed, unattributed = billed_resources(connection)
    if unattributed:
        belong = "belongs" if unattributed == 1 else "belong"
        what = f"{counted(unattributed, 'billed resource')} {belong} to no deployment"
        yield _wrong("charges", what, "see maas-monitor charges map")
    elif billed:
        yield _well("charges", "every billed resource belongs to a deployment")


def _collected(source: Any, health: SourceHealth | None, now: datetime) -> Iterator[Finding]:
    subject = f"source {source.name!r}"
    if health is None:
        yield _note(subject, "was never collected", "run maas-monitor collect")
        return
    if health.newest is not None:
        newest = f"its newest record, of {instant_of(health.newest):%Y-%m-%d %H:%M} UTC,"
        old = minute_number(now) - health.newest > STALE_MINUTES
        yield (
            _note(subject, f"{newest} is older than a day", "check that it is still written to")
            if old
            else _well(subject, f"{newest} is of the last day")
        )
    if health.quarantined:
        remedy = "see maas-monitor quarantine list"
        yield _wrong(subject, f"{counted(health.quarantined, 'record')} could not be read", remedy)


def _prices(connection: "Connection") -> Iterator[Finding]:
    book, known = price_book(connection), bundled().models
    missing, used = [], models_used(connection)
    for model, day in used:
        free = model in known and known[model].kind == "managed-compute"
        if not free and (book.price(model, "input", day) is None or book.price(model, "output", day) is None):
            missing.append(model)
            yield _wrong(
                f"model {model or 'unknown'!r}", "has no price", "add a [[price]], or a [[deployment]] naming its model"
            )
    if used and not missing:
        yield _well("prices", "every model that was used has one")


def _sources(settings: Settings, now: datetime) -> Iterator[Finding]:
    if not settings.sources:
        yield _wrong("settings", "no source is set", "add a [[source]], or start with: maas-monitor init")
    for source in settings.sources:
        subject = f"source {source.name!r}"
        if isinstance(source, Later):
            yield _wrong(subject, f"kind {source.kind!r} is not available in this version", "remove it or update")
        elif hasattr(source, "path") and "://" not in source.path:
            try:
                yield from _files(source, subject)
            except MonitorError as error:
                yield _of(error)


def _files(source: Any, subject: str) -> Iterator[Finding]:
    found = sorted(find(source.path, subject), key=lambda one: one.modified_ns, reverse=True)
    if not found and source.kind == cost_export.KIND:
        yield _note(subject, f"no cost export matches {source.path} yet", "have Azure export costs there")
        return
    if not found:
        yield _wrong(subject, f"no file matches {source.path}", "correct its path, or wait for the first file")
        return
    bad = 0
    for one in found[:SAMPLED_FILES]:
        finding = _file(source, subject, one)
        if finding:
            bad += 1
            yield finding
    if not bad:
        yield _well(subject, f"{counted(len(found), 'file')}, readable")


def _file(source: Any, subject: str, found: Found) -> Finding | None:
    try:
        sample, broken = beginning(found.path, SAMPLE_BYTES)
    except OSError as error:
        return _wrong(subject, f"{found.path} cannot be read ({error.strerror})", "check its permissions")
    if broken and not broken.unfinished:
        return _wrong(subject, f"{found.path} is damaged: {broken.reason}", "replace the file")
    if getattr(source, "format", "") == "auto" and b"\n" in sample and detect(sample) is None:
        return _wrong(subject, f"{found.path} is of no known format", "set the source's format, or narrow its path")
    return None


def _well(subject: str, what: str) -> Finding:
    return Finding(subject=subject, state="well", what=what)


def _note(subject: str, what: str, remedy: str) -> Finding:
    return Finding(subject=subject, state="note", what=what, remedy=remedy)


def _wrong(subject: str, what: str, remedy: str) -> Finding:
    return Finding(subject=subject, state="wrong", what=what, remedy=remedy)


def _of(error: MonitorError) -> Finding:
    return _wrong(error.subject, error.what, error.remedy)
