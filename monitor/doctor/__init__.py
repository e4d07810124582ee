"""The doctor: looks at settings, sources, store, prices and charges, and names the remedy of whatever is wrong."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DatabaseError

from monitor.catalogue import bundled
from monitor.clock import Clock
from monitor.config.settings import Later, Settings
from monitor.doctor.azure import asks_azure, probes
from monitor.doctor.finding import Finding, note, told_of, well, wrong
from monitor.doctor.remedies import remedy_of
from monitor.domain.inventory import findings as inventory_findings
from monitor.domain.inventory import last_segment
from monitor.domain.period import day_of, instant_of, minute_number
from monitor.errors import MonitorError, counted
from monitor.sources import cost_export
from monitor.sources.azure.storage import is_remote
from monitor.sources.formats import detect
from monitor.sources.objects import Found, beginning, find
from monitor.store import migrate
from monitor.store.engine import open_engine, reading, writing
from monitor.store.health import Billed, SourceHealth, billed_resources, damage, models_used, source_health, told, touch
from monitor.store.prices import price_book
from monitor.store.resources import current

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

STALE_MINUTES = 24 * 60
"""A source of logs whose newest record is older than this has probably stopped."""

STALE_BILL = timedelta(days=3)
"""A bill is known a day or two after its day (azure.md, 1.3); one that is older has stopped."""

STALE_COLLECTION = timedelta(days=1)

SAMPLED_FILES = 20
"""So many files of a source are opened, the newest first; a folder may hold a million."""

SAMPLE_BYTES = 64 * 1024


def examine(settings: Settings, *, now: datetime, clock: Clock | None = None) -> Iterator[Finding]:
    """Yield what is found, in the order in which things depend on each other. Leaves nothing behind."""
    yield well("settings", f"read from {settings.file}" if settings.file else "none, defaults apply")
    yield from _idle(settings)
    yield from _sources(settings, now)
    try:
        engine = open_engine(settings.store.url)
    except MonitorError as error:
        yield told_of(error)
        yield from probes(settings, None, now=now, clock=clock)
        return
    try:
        found = list(_store(engine, settings, now))
        sound = not any(finding.subject == "store" and finding.state != "well" for finding in found)
        yield from probes(settings, engine if sound else None, now=now, clock=clock)
        yield from found
    finally:
        engine.dispose()


def _idle(settings: Settings) -> Iterator[Finding]:
    """Name the tables that are kept for a later version, lest somebody rely on them."""
    unwatched = "do not rely on being alerted; it can stay for a later version"
    for table, held in (("[[rule]]", settings.rules), ("[[channel]]", settings.channels)):
        if held:
            yield note(table, "does nothing in this version", unwatched)


def _store(engine: "Engine", settings: Settings, now: datetime) -> Iterator[Finding]:
    file = engine.url.database
    if engine.dialect.name == "sqlite" and file not in (None, ":memory:") and not Path(str(file)).exists():
        yield note("store", f"{file} is not there yet", "run maas-monitor collect")
        return
    try:
        migrate.require_current(engine)
        with writing(engine) as connection:
            touch(connection)
        with reading(engine) as connection:
            broken = damage(connection)
            yield (
                wrong("store", broken, "restore a backup") if broken else well("store", "current, writable and whole")
            )
            yield from _contents(connection, settings, now)
    except MonitorError as error:
        yield told_of(error)
    except DatabaseError as error:
        unreadable = told(engine, error)
        if unreadable is None:
            raise
        yield told_of(unreadable)


def _contents(connection: "Connection", settings: Settings, now: datetime) -> Iterator[Finding]:
    health = {one.name: one for one in source_health(connection)}
    for source in settings.sources:
        if not isinstance(source, Later):
            yield from _collected(source, health.get(source.name), now)
    yield from _prices(connection)
    yield from _inventory(connection, now)
    yield from _charges(billed_resources(connection))


def _charges(known: Billed) -> Iterator[Finding]:
    """Count what belongs to nobody as `charges map` lists it: an account bills many models, each in a row."""
    if known.unattributed:
        belong = "belongs" if known.unattributed == 1 else "belong"
        each = "billed resource" if known.unattributed == known.resources else "model"
        of = "" if known.unattributed == known.resources else f" of {counted(known.resources, 'billed resource')}"
        what = f"{counted(known.unattributed, each)}{of} {belong} to no deployment"
        yield wrong("charges", what, "see maas-monitor charges map")
    elif known.billed:
        yield well("charges", "every billed resource belongs to a deployment")


def _collected(source: Any, health: SourceHealth | None, now: datetime) -> Iterator[Finding]:
    subject = f"source {source.name!r}"
    if health is None:
        yield note(subject, "was never collected", "run maas-monitor collect")
        return
    if health.newest is not None:
        newest = f"its newest record, of {instant_of(health.newest):%Y-%m-%d %H:%M} UTC,"
        old = minute_number(now) - health.newest > STALE_MINUTES
        yield (
            note(subject, f"{newest} is older than a day", "check that it is still written to")
            if old
            else well(subject, f"{newest} is of the last day")
        )
    elif health.billed is not None:
        yield _billed(subject, health.billed, now)
    elif asks_azure(source):
        yield _last_collected(subject, health.collected_at, now)
    if health.quarantined:
        remedy = "see maas-monitor quarantine list"
        yield wrong(subject, f"{counted(health.quarantined, 'record')} could not be read", remedy)


def _billed(subject: str, newest: int, now: datetime) -> Finding:
    day = day_of(newest)
    if now.astimezone(UTC).date() - day > STALE_BILL:
        remedy = "run maas-monitor collect; a bill is known a day or two after its day"
        return note(subject, f"its newest bill is of {day}", remedy)
    return well(subject, f"its newest bill is of {day}")


def _last_collected(subject: str, at: datetime | None, now: datetime) -> Finding:
    if at is None:
        return note(subject, "has never answered a collection", "run maas-monitor collect, which says what is wrong")
    if now - at > STALE_COLLECTION:
        return note(subject, f"said something last on {at:%Y-%m-%d %H:%M} UTC", "run maas-monitor collect")
    return well(subject, f"was collected {at:%Y-%m-%d %H:%M} UTC")


def _inventory(connection: "Connection", now: datetime) -> Iterator[Finding]:
    for finding in inventory_findings(current(connection), bundled(), now.astimezone(UTC).date()):
        subject = f"deployment {last_segment(finding.resource_id)!r}"
        yield wrong(subject, finding.what, remedy_of(finding.what))


def _prices(connection: "Connection") -> Iterator[Finding]:
    book, known = price_book(connection), bundled().models
    missing, used = [], models_used(connection)
    for model, day in used:
        free = model in known and known[model].kind == "managed-compute"
        if not free and (book.price(model, "input", day) is None or book.price(model, "output", day) is None):
            missing.append(model)
            yield wrong(
                f"model {model or 'unknown'!r}", "has no price", "add a [[price]], or a [[deployment]] naming its model"
            )
    if used and not missing:
        yield well("prices", "every model that was used has one")


def _sources(settings: Settings, now: datetime) -> Iterator[Finding]:
    if not settings.sources:
        yield wrong("settings", "no source is set", "add a [[source]], or start with: maas-monitor init")
    for source in settings.sources:
        subject = f"source {source.name!r}"
        if isinstance(source, Later):
            yield wrong(subject, f"kind {source.kind!r} is not available in this version", "remove it or update")
        elif hasattr(source, "path") and not is_remote(source.path):
            try:
                yield from _files(source, subject)
            except MonitorError as error:
                yield told_of(error)


def _files(source: Any, subject: str) -> Iterator[Finding]:
    found = sorted(find(source.path, subject), key=lambda one: one.modified_ns, reverse=True)
    if not found and source.kind == cost_export.KIND:
        yield note(subject, f"no cost export matches {source.path} yet", "have Azure export costs there")
        return
    if not found:
        yield wrong(subject, f"no file matches {source.path}", "correct its path, or wait for the first file")
        return
    bad = 0
    for one in found[:SAMPLED_FILES]:
        finding = _file(source, subject, one)
        if finding:
            bad += 1
            yield finding
    if not bad:
        yield well(subject, f"{counted(len(found), 'file')}, readable")


def _file(source: Any, subject: str, found: Found) -> Finding | None:
    try:
        sample, broken = beginning(found.path, SAMPLE_BYTES)
    except OSError as error:
        return wrong(subject, f"{found.path} cannot be read ({error.strerror})", "check its permissions")
    if broken and not broken.unfinished:
        return wrong(subject, f"{found.path} is damaged: {broken.reason}", "replace the file")
    if getattr(source, "format", "") == "auto" and b"\n" in sample and detect(sample) is None:
        return wrong(subject, f"{found.path} is of no known format", "set the source's format, or narrow its path")
    return None
