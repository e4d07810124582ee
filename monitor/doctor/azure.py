"""What the doctor asks of Azure: is somebody signed in, and does each source get an answer.

A source kind that asks others has a `probe(settings, session)` that yields what it reached, in words, or the error that
kept it from there: as few requests as show that a collection would be let in. `cautions(settings)` says what a source
cannot see even so. A probe that fails stops no other; none waits longer than a few seconds.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from monitor.catalogue import bundled
from monitor.clock import Clock
from monitor.collect import open_session
from monitor.config import source_kinds
from monitor.config.settings import Later, Settings
from monitor.doctor.brief import PATIENCE, BriefArm, BusyError, CutOffError, HurriedClock, Throttled, Unshared
from monitor.doctor.finding import Finding, note, told_of, well, wrong
from monitor.errors import MonitorError
from monitor.sources.azure.logs import EXTRA
from monitor.sources.azure.refusals import Need, told
from monitor.sources.azure.storage import REMOTE, is_remote
from monitor.sources.session import Session

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

LIBRARIES = {"log-analytics": ("azure.monitor.query", "azure-monitor-query")}
STORAGE = ("azure.storage.blob", "azure-storage-blob")
"""What the extra brings: the module, and the name that it is installed by. Whoever has a path reads storage."""


def asks_azure(source: Any) -> bool:
    """Whether a source asks Azure, and not this machine's folders."""
    module = source_kinds().get(source.kind)
    return hasattr(module, "probe") and is_remote(getattr(source, "path", REMOTE))


def probes(
    settings: Settings,
    engine: "Engine | None",
    *,
    now: datetime,
    clock: Clock | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[Finding]:
    """Yield how each source that asks Azure is answered; without a store (None) the pace is not shared."""
    asking = [one for one in settings.sources if not isinstance(one, Later) and asks_azure(one)]
    lacking = {one.name: library for one in asking if (library := _lacks(one))}
    for name, library in lacking.items():
        yield wrong(f"source {name!r}", f"{library} is not installed", EXTRA)
    sources = [one for one in asking if one.name not in lacking]
    if not sources:
        return
    hurried = HurriedClock(clock or Clock())
    with _session(settings, engine, now, hurried, environ) as session:
        session.budget = Throttled(session.budget, hurried)
        nobody = None
        if any(_as_who_we_are(one) for one in sources):
            found = _signed_in(session)
            nobody = found if found.state == "wrong" else None
            yield found
        for source in sources:
            hurried.left = PATIENCE
            yield from _cautions(source)
            if not (nobody and _as_who_we_are(source)):
                yield from _probe(source, session, hurried)


def _lacks(source: Any) -> str:
    """Return the library of the extra that a source needs and that is not there, else ''."""
    module, name = STORAGE if hasattr(source, "path") else LIBRARIES.get(source.kind, ("", ""))
    try:
        if module:
            import_module(module)
    except ImportError:
        return name
    return ""


def _session(
    settings: Settings, engine: "Engine | None", now: datetime, clock: Clock, environ: Mapping[str, str]
) -> Session:
    if engine is not None:
        return open_session(engine, settings, now=now, clock=clock, environ=environ)
    return Session(now=now, clock=clock, azure=settings.azure, environ=environ, budget=Unshared(), catalogue=bundled())


def _as_who_we_are(source: Any) -> bool:
    return not getattr(source, "credential_env", None)


def _signed_in(session: Session) -> Finding:
    """Ask for a token, which no source would get either if there is none."""
    try:
        with told("azure", Need(role="Reader", scope="what the sources read")):
            session.credential.get_token(session.azure.arm_scope)
    except MonitorError as error:
        return told_of(error)
    given = session.azure.credential == "token"
    return well("azure", "a token is given" if given else f"somebody is signed in to the {session.azure.cloud} cloud")


def _cautions(source: Any) -> Iterator[Finding]:
    for caution in getattr(source_kinds()[source.kind], "cautions", lambda _settings: ())(source):
        what, _, remedy = caution.partition(": ")
        yield note(f"source {source.name!r}", what, remedy or "see the README")


def _probe(source: Any, session: Session, hurried: HurriedClock) -> Iterator[Finding]:
    subject = f"source {source.name!r}"
    try:
        if "arm" not in session.__dict__ and not getattr(source, "credential_env", None):
            # In place of the one that a session opens by itself; the session closes it.
            session.__dict__["arm"] = hurried.arm = BriefArm(session.azure, session.credential, hurried)
        for reached in source_kinds()[source.kind].probe(source, session):
            yield _named(reached, source.name) if isinstance(reached, MonitorError) else well(subject, reached)
    except BusyError as busy:
        yield note(subject, busy.what, busy.remedy)
    except CutOffError as cut_off:
        yield wrong(subject, cut_off.what, cut_off.remedy)
    except MonitorError as error:
        yield _named(error, source.name)


def _named(error: MonitorError, source: str) -> Finding:
    """Tell an error as one of the source of that name, beside what of it is concerned."""
    subject = f"source {source!r}"
    part = "" if error.subject in (source, subject) else f"{error.subject.removeprefix(f'{source}: ')}: "
    return wrong(subject, f"{part}{error.what}", error.remedy)
