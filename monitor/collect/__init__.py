"""From the sources into the store: which are read, how, and what came of it."""

from collections.abc import Sequence
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

from monitor.collect.costs import collect_costs
from monitor.collect.tally import Progress, SourceResult, Tally
from monitor.collect.usage import collect_usage
from monitor.config.settings import Settings
from monitor.describe import describe_settings, registry
from monitor.domain.period import Period, minute_number
from monitor.errors import MonitorError, SettingsError, UnknownNameError
from monitor.sources import cost_export, files
from monitor.sources.objects import unreadable
from monitor.store.migrate import ensure

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def collect(
    engine: "Engine", settings: Settings, *, now: datetime, names: Sequence[str] = (), progress: Progress | None = None
) -> list[SourceResult]:
    """Read every source, or those named, once; a source that fails is told in its result and stops no other."""
    wanted = _wanted(settings, names)
    ensure(engine)
    describe_settings(engine, settings)
    return [_collect_one(engine, settings, one, files.Request(), now, progress) for one in wanted]


def collect_range(
    engine: "Engine",
    settings: Settings,
    source: str,
    *,
    period: Period,
    now: datetime,
    progress: Progress | None = None,
) -> SourceResult:
    """Read a source again from the start, taking only what falls into a period.

    What is known already is a duplicate.
    """
    (wanted,) = _wanted(settings, [source])
    ensure(engine)
    describe_settings(engine, settings)
    minutes = minute_number(period.start), minute_number(period.end)
    return _collect_one(engine, settings, wanted, files.Request(again=True, minutes=minutes), now, progress)


def import_files(
    engine: "Engine",
    settings: Settings,
    source: Any,
    *,
    labels: dict[str, str],
    now: datetime,
    progress: Progress | None = None,
) -> SourceResult:
    """Read files once, as the source given.

    A half-written last line is final, for nobody will come back for the rest.
    """
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
    tally = Tally(source=source.name, kind=source.kind, now=now, progress=progress)
    try:
        if source.kind == files.KIND:
            collect_usage(engine, source, request, tally, registry(settings))
        elif source.kind == cost_export.KIND:
            collect_costs(engine, source, tally)
        else:
            raise SettingsError(
                source.name, f"kind {source.kind!r} is not available in this version", "remove it or update"
            )
    except MonitorError as error:
        tally.errors.append(error)
    except OSError as error:
        tally.errors.append(unreadable(error.filename or source.name, error))
    return tally.result(monotonic() - started)
