"""From the sources into the store: which are read, how, and what came of it."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

from monitor.catalogue import bundled
from monitor.clock import Clock, TellingClock
from monitor.collect.collection import Collection
from monitor.collect.costs import collect_costs
from monitor.collect.metered import collect_minutes
from monitor.collect.resources import collect_resources
from monitor.collect.tally import Progress, SourceResult, Tally, Waiting
from monitor.collect.usage import collect_usage
from monitor.config import source_kinds
from monitor.config.settings import Settings
from monitor.describe import describe_settings, registry
from monitor.domain.period import Period
from monitor.domain.records import Yield
from monitor.errors import MonitorError, SettingsError, UnknownNameError
from monitor.sources.azure.budget import TENANT
from monitor.sources.objects import unreadable
from monitor.sources.request import Request
from monitor.sources.session import Session
from monitor.store.migrate import ensure
from monitor.store.request_budget import Limit, RequestBudget

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

COLLECTORS: dict[Yield, Callable[[Collection], None]] = {
    "events": collect_usage,
    "charges": collect_costs,
    "minutes": collect_minutes,
    "resources": collect_resources,
}
"""What carries a collection out, by what the source yields."""


def collect(
    engine: "Engine",
    settings: Settings,
    *,
    now: datetime,
    names: Sequence[str] = (),
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> list[SourceResult]:
    """Read every source, or those named, once; a source that fails is told in its result and stops no other."""
    wanted = _wanted(settings, names)
    return _collect(engine, settings, wanted, Request(), now, progress, clock)


def collect_range(  # noqa: PLR0913 - what every collection needs
    engine: "Engine",
    settings: Settings,
    source: str,
    *,
    period: Period,
    now: datetime,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> SourceResult:
    """Read a source again from the start, taking only what falls into a period.

    What is known already is a duplicate.
    """
    wanted = _wanted(settings, [source])
    return _collect(engine, settings, wanted, Request(period=period), now, progress, clock)[0]


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
    return _collect(engine, settings, [source], Request(final=True, labels=labels), now, progress)[0]


def open_session(
    engine: "Engine", settings: Settings, *, now: datetime, clock: Clock, environ: Mapping[str, str] = os.environ
) -> Session:
    """Return the way to the outside that a collection which begins now has."""
    limits = [Limit(units=pace.units, seconds=pace.seconds) for pace in TENANT]
    budget = RequestBudget(engine, clock.now, limits)
    return Session(now=now, clock=clock, azure=settings.azure, environ=environ, budget=budget, catalogue=bundled())


def _wanted(settings: Settings, names: Sequence[str]) -> list[Any]:
    by_name = {one.name: one for one in settings.sources}
    for name in names:
        if name not in by_name:
            raise UnknownNameError("collect", "source", name, list(by_name))
    return [by_name[name] for name in names] if names else list(settings.sources)


def _collect(  # noqa: PLR0913 - what every collection needs
    engine: "Engine",
    settings: Settings,
    sources: Sequence[Any],
    request: Request,
    now: datetime,
    progress: Progress | None,
    clock: Clock | None = None,
) -> list[SourceResult]:
    ensure(engine)
    describe_settings(engine, settings)
    results = []
    waiting = Waiting(progress)
    with open_session(engine, settings, now=now, clock=TellingClock(clock or Clock(), waiting)) as session:
        for source in sources:
            waiting.begin(source.name)
            module = source_kinds().get(source.kind)
            one = Collection(
                engine=engine,
                source=source,
                module=module,
                request=request,
                tally=Tally(
                    source=source.name,
                    kind=source.kind,
                    yields=module.YIELDS if module else "events",
                    now=now,
                    progress=progress,
                ),
                session=session,
                registry=registry(settings),
            )
            results.append(_collect_one(one))
    return results


def _collect_one(one: Collection) -> SourceResult:
    started, source, tally = monotonic(), one.source, one.tally
    try:
        if one.module is None:
            what = f"kind {source.kind!r} is not available in this version"
            raise SettingsError(source.name, what, "remove it or update")
        COLLECTORS[one.module.YIELDS](one)
    except MonitorError as error:
        tally.errors.append(error)
    except OSError as error:
        tally.errors.append(unreadable(error.filename or source.name, error))
    return tally.result(monotonic() - started)
